//! A compiled module: read once, instantiated as often as there are VMs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use wasmtime::{Cache, CacheConfig, Config, Engine, ExternType, FuncType, InstancePre, ValType};

use crate::abi;
use crate::vm::State;

/// The version of the ABI that a module was built for.
///
/// A module says it with an export that is never called; Envoy chooses the functions it offers by it
/// (`getAbiVersion` in `src/v8/v8.cc` and `registerCallbacks` in `src/wasm.cc` of proxy-wasm-cpp-host).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AbiVersion {
    /// `proxy_abi_version_0_1_0`
    V0_1_0,
    /// `proxy_abi_version_0_2_0`
    V0_2_0,
    /// `proxy_abi_version_0_2_1`
    V0_2_1,
}

impl AbiVersion {
    const EXPORTS: [(&'static str, Self); 3] = [
        ("proxy_abi_version_0_1_0", Self::V0_1_0),
        ("proxy_abi_version_0_2_0", Self::V0_2_0),
        ("proxy_abi_version_0_2_1", Self::V0_2_1),
    ];
}

/// Why a module cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModuleError {
    /// The bytes are no wasm module, or one with an error; the compiler's words.
    Compile(String),
    /// No export says which ABI the module is built for.
    NotProxyWasm,
    /// Functions are imported that Envoy does not offer to a module of this ABI, each as `module.name`.
    UnknownImports(Vec<String>),
    /// A function is imported, or a callback exported, with another signature than the ABI has.
    WrongSignature {
        /// The function, as `module.name` or as `name`.
        function: String,
        /// The signature that the ABI gives it.
        expected: String,
    },
    /// The module exports no memory that the host could read.
    NoMemory,
    /// The module exports neither `malloc` nor `proxy_on_memory_allocate`.
    NoAllocator,
    /// The cache on disk cannot be used.
    Cache(String),
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compile(why) => write!(f, "the bytes are not a wasm module that can be run: {why}"),
            Self::NotProxyWasm => f.write_str(
                "not a proxy-wasm module: it has no export `proxy_abi_version_*`; build it with a proxy-wasm SDK",
            ),
            Self::UnknownImports(names) => write!(
                f,
                "the module imports what no host offers to a module of its ABI: {}; remove the calls",
                names.join(", ")
            ),
            Self::WrongSignature { function, expected } => {
                write!(f, "`{function}` has another signature than the ABI gives it, which is {expected}")
            }
            Self::NoMemory => f.write_str("the module exports no memory; export it as `memory`"),
            Self::NoAllocator => f.write_str(
                "the module exports no allocator; export `proxy_on_memory_allocate` (or `malloc`) for what the host hands over",
            ),
            Self::Cache(why) => write!(f, "the cache for compiled modules cannot be used: {why}"),
        }
    }
}

impl std::error::Error for ModuleError {}

/// A proxy-wasm module, compiled and checked. Clones share the code.
#[derive(Clone)]
pub struct Module {
    ready: InstancePre<State>,
    abi: AbiVersion,
    size: usize,
    compiled_in: Duration,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("abi", &self.abi).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Module {
    /// Compiles a module and checks it: that it is proxy-wasm, that each import is one Envoy offers, and that
    /// imports and callbacks have the signatures of the ABI.
    ///
    /// # Errors
    /// See [`ModuleError`].
    pub fn load(bytes: &[u8]) -> Result<Self, ModuleError> {
        Self::compile(bytes, None)
    }

    /// As [`Module::load`], with the compiled code kept on disk, in wasmtime's cache for this user, so that the next
    /// process does not compile the same module again.
    ///
    /// # Errors
    /// See [`ModuleError`].
    pub fn load_cached(bytes: &[u8]) -> Result<Self, ModuleError> {
        let cache = Cache::new(CacheConfig::new()).map_err(|error| ModuleError::Cache(line(&error)))?;
        Self::compile(bytes, Some(cache))
    }

    /// The ABI the module was built for.
    pub const fn abi(&self) -> AbiVersion {
        self.abi
    }

    /// The size of the module in bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// How long it took to compile, or to find in the cache.
    pub const fn compiled_in(&self) -> Duration {
        self.compiled_in
    }

    pub(crate) const fn ready(&self) -> &InstancePre<State> {
        &self.ready
    }

    fn compile(bytes: &[u8], cache: Option<Cache>) -> Result<Self, ModuleError> {
        let started = Instant::now();
        let mut config = Config::new();
        config.consume_fuel(true).cache(cache);
        let compile = |error: wasmtime::Error| ModuleError::Compile(line(&error));
        let engine = Engine::new(&config).map_err(compile)?;
        // `from_binary` and not `new`: what is not wasm stays an error, even where wasmtime could read text.
        let module = wasmtime::Module::from_binary(&engine, bytes).map_err(compile)?;
        let abi = AbiVersion::EXPORTS
            .into_iter()
            .find(|(name, _)| module.get_export(name).is_some())
            .map(|(_, abi)| abi)
            .ok_or(ModuleError::NotProxyWasm)?;
        let functions = abi::functions(&engine, abi).map_err(compile)?;
        check_imports(&module, &functions.signatures)?;
        check_exports(&module, abi)?;
        let ready = functions.linker.instantiate_pre(&module).map_err(compile)?;
        Ok(Self { ready, abi, size: bytes.len(), compiled_in: started.elapsed() })
    }
}

fn check_imports(module: &wasmtime::Module, offered: &BTreeMap<String, FuncType>) -> Result<(), ModuleError> {
    let mut unknown = Vec::new();
    for import in module.imports() {
        let function = format!("{}.{}", import.module(), import.name());
        match (offered.get(&function), import.ty()) {
            (None, _) => unknown.push(function),
            (Some(offer), ExternType::Func(wanted)) if same(offer, &wanted) => {}
            (Some(offer), _) => {
                return Err(ModuleError::WrongSignature { function, expected: signature(offer) });
            }
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(ModuleError::UnknownImports(unknown)) }
}

fn check_exports(module: &wasmtime::Module, abi: AbiVersion) -> Result<(), ModuleError> {
    if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
        return Err(ModuleError::NoMemory);
    }
    let mut allocates = false;
    for export in module.exports() {
        let Some((parameters, results)) = abi::callback(export.name(), abi) else { continue };
        let expected = FuncType::new(
            module.engine(),
            std::iter::repeat_n(ValType::I32, parameters),
            std::iter::repeat_n(ValType::I32, results),
        );
        match export.ty() {
            ExternType::Func(found) if same(&expected, &found) => {}
            _ => {
                return Err(ModuleError::WrongSignature {
                    function: export.name().to_owned(),
                    expected: signature(&expected),
                });
            }
        }
        allocates |= abi::ALLOCATORS.contains(&export.name());
    }
    if allocates { Ok(()) } else { Err(ModuleError::NoAllocator) }
}

fn same(left: &FuncType, right: &FuncType) -> bool {
    signature(left) == signature(right)
}

fn signature(of: &FuncType) -> String {
    let list = |types: Vec<ValType>| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(of.params().collect()), list(of.results().collect()))
}

/// An error of wasmtime in one line, the innermost cause last.
pub(crate) fn line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
