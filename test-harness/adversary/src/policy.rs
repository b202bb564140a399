//! Policies in force in a simulated Envoy.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use bartizan_cases::format::Token;
use bartizan_cases::mint::Mint;
use bartizan_cases::patch::{self, Secrets};
use bartizan_compiler::BUNDLE_FILE;
use bartizan_engine::plan::Plan;
use bartizan_host::{Builder, Module, Proxy};
use serde_json::{Value, json};

/// The name space of shared state.
pub const VM_ID: &[u8] = b"bartizan";

/// A compiled bundle.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The plan.
    pub plan: Plan,
    secrets: Secrets,
    mint: Mint,
}

impl Policy {
    /// Compiles a bundle from its text and further files.
    ///
    /// # Errors
    /// When it has errors: all of them are in the message.
    pub fn compile(bundle: &str, files: &[(&str, String)]) -> Result<Self> {
        let mut all = BTreeMap::from([(BUNDLE_FILE.to_owned(), bundle.as_bytes().to_vec())]);
        all.extend(files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())));
        let compiled = bartizan_compiler::compile_files(all);
        let report = compiled.render(false);
        let plan = compiled.plan.with_context(|| report)?;
        Ok(Self { secrets: patch::secrets(&plan), mint: Mint::for_plan(&plan), plan })
    }

    /// The plugin configuration, with settings as a deployment writes them.
    #[must_use]
    pub fn configuration(&self, settings: &Value) -> String {
        json!({"plan": self.plan, "settings": settings}).to_string()
    }

    /// An Envoy to be, with this policy in force and set up as the README says.
    #[must_use]
    pub fn proxy(&self, module: &Module, settings: &Value) -> Builder {
        let builder = Proxy::builder(module)
            .vm_id(VM_ID)
            .allow_on_headers_stop_iteration(true)
            .configuration(self.configuration(settings));
        self.secrets.iter().fold(builder, |builder, (name, value)| builder.variable(name, value))
    }

    /// A token as it is written, made at this second.
    ///
    /// # Errors
    /// When it cannot be made so.
    pub fn token(&self, token: &Token, now: u64, subject: &str) -> Result<String> {
        self.mint.token(token, now, subject).map_err(|why| anyhow!(why))
    }
}

/// The settings that people begin with.
#[must_use]
pub fn usual() -> Value {
    json!({"hold_headers": true, "signatures": "auto"})
}

/// The same configuration in other bytes, for each number others. Envoy has a canary try no configuration twice, and goes
/// back to the plugin that it still has for one.
#[must_use]
pub fn anew(configuration: &str, number: usize) -> String {
    let blank = |bit: u32| if number >> bit & 1 == 0 { ' ' } else { '\n' };
    configuration.chars().chain((0..usize::BITS).map(blank)).collect()
}

/// A bundle of the library, with keys that the mint has.
///
/// # Errors
/// When it does not compile.
pub fn library(name: &str) -> Result<Policy> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy-bundles/library").join(name);
    let compiled = bartizan_compiler::compile_dir(&directory);
    let report = compiled.render(false);
    let mut plan = compiled.plan.with_context(|| report)?;
    let secrets = patch::use_test_keys(&mut plan).map_err(|why| anyhow!(why))?;
    Ok(Policy { secrets, mint: Mint::for_plan(&plan), plan })
}
