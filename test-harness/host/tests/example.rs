//! The example filter (`example-filter/`, with the SDK alone), tested as it is built by `make host-modules`.

use std::time::Duration;

use bartizan_host::clusters::Answer;
use bartizan_host::{Module, Proxy, Request};

#[test]
fn a_key_is_looked_up_once_for_each_request() -> Result<(), Box<dyn std::error::Error>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/example.wasm");
    let wasm = std::fs::read(file).map_err(|why| format!("{file}: {why}; run `make host-modules`"))?;
    let proxy = Proxy::builder(&Module::load(&wasm)?).start()?;
    proxy.clusters().add("keys", |call| match call.headers.get("x-api-key") {
        Some(b"k1") => Answer::status(200).body("ann"),
        Some(b"slow") => Answer::status(200).after(Duration::from_secs(1)),
        _ => Answer::status(404),
    });
    let send = |key| proxy.worker(0).send(Request::get("/").header("x-api-key", key));

    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 401);
    assert_eq!((send("k2").status(), send("slow").status()), (403, 503));
    let upstream = send("k1").upstream().cloned().ok_or("the request did not reach upstream")?;
    assert_eq!(upstream.header("x-owner"), Some(&b"ann"[..]));
    assert_eq!(proxy.clusters().seen("keys"), 3);
    Ok(())
}

#[test]
fn the_readme_shows_this_very_test() {
    let (readme, this) = (include_str!("../README.md"), include_str!("example.rs"));
    let end = this.find("\n#[test]\nfn the_readme").expect("this test");
    let begin = this.find("use std::time").expect("the first line of code");
    let test = this.get(begin..end).expect("the code is text");
    assert!(readme.contains(test), "README.md shows another test than tests/example.rs has");
}
