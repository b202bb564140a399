//! The ready-made bundles are part of the command: a new file among them is a reason to build it anew.

fn main() {
    println!("cargo::rerun-if-changed=../library");
}
