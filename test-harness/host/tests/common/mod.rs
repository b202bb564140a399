//! Small modules as text.

use bartizan_host::Module;

/// What every proxy-wasm module has: the version of its ABI, memory, and an allocator that only goes up.
const FRAME: &str = r#"
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    (func (export "proxy_abi_version_0_2_1"))
    (func $allocate (export "proxy_on_memory_allocate") (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (global.get $free))
        (global.set $free (i32.add (global.get $free) (local.get $size)))
        (local.get $at))
"#;

/// A module with these imports and definitions.
#[expect(clippy::expect_used, reason = "a helper of tests")]
pub(crate) fn module(imports: &str, body: &str) -> Module {
    Module::load(&bytes(imports, body)).expect("the module of this test loads")
}

/// The same as bytes.
#[expect(clippy::expect_used, reason = "a helper of tests")]
pub(crate) fn bytes(imports: &str, body: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {imports} {FRAME} {body})")).expect("the text of this test is a module")
}

/// `(import "env" "proxy_NAME" (func $NAME (param i32 ...) (result i32)))` for each name and number of parameters.
pub(crate) fn imports(functions: &[(&str, usize)]) -> String {
    let import = |(name, count): &(&str, usize)| {
        let parameters = " i32".repeat(*count);
        format!(r#"(import "env" "proxy_{name}" (func ${name} (param{parameters}) (result i32)))"#)
    };
    functions.iter().map(import).collect()
}
