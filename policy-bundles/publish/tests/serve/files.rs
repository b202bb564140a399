//! Files that are replaced, broken, half-written, linked and in the way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bartizan_compiler::artifact::{Artifact, SigningKey, payload, public_pem};
use bartizan_compiler::compile_files;
use bartizan_engine::envelope::Trust;
use bartizan_engine::envelope::trust::{TrustPlan, TrustedKey};
use bartizan_publish::serve::log::Form;
use bartizan_publish::serve::{Config, Limits, Log, Server};

use crate::bed::{Bed, Lines, artifact, etag, large};

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_on_disk_stays_as_it_was() {
    let bed =
        Bed::new(&[("edge.bundle", &artifact(1)), ("bad.bundle", b"not an artifact")], Limits::default())
            .await;
    assert_eq!(bed.get("/bad.bundle", "").await.status, 404);
    bed.says("refuses /bad.bundle: not-an-envelope: ").await;
    let whole = artifact(2);
    let half = &whole[..whole.len() / 2];
    let truncated = |bytes: usize| format!("truncated: the artifact ends after {bytes} bytes");
    for (bytes, kind) in [
        (&b""[..], truncated(0)),
        (half, truncated(half.len())),
        (b"{\"payload\": 1}", "not-an-envelope: ".to_owned()),
    ] {
        bed.write("edge.bundle", bytes);
        bed.says(&format!("refuses /edge.bundle: {kind}")).await;
        assert_eq!(bed.get("/edge.bundle", "").await.body, artifact(1));
    }
    bed.says("the one before stays").await;
    // Each was said once, however often it was looked at.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.lines.text().matches("refuses /edge.bundle").count(), 3, "{}", bed.lines.text());
    bed.write("edge.bundle", &whole);
    bed.serves("/edge.bundle", 200, &whole).await;
    bed.write("bad.bundle", &whole);
    bed.serves("/bad.bundle", 200, &whole).await;
    std::fs::remove_file(bed.path("edge.bundle")).unwrap();
    bed.serves("/edge.bundle", 404, b"").await;
    bed.write("edge.bundle", &artifact(1));
    bed.serves("/edge.bundle", 200, &artifact(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_not_served() {
    let mut bytes = large(15 << 20);
    bytes.resize((16 << 20) + 1, b' ');
    let bed = Bed::new(&[("edge.bundle", &bytes)], Limits::default()).await;
    bed.says("refuses /edge.bundle: oversized: ").await;
    assert_eq!(bed.get("/edge.bundle", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_half_written_is_ever_served() {
    let limits = Limits { look: Duration::from_millis(1), ..Limits::default() };
    let bed = Arc::new(Bed::new(&[("edge.bundle", &large(200_000))], limits).await);
    let over = Arc::new(AtomicBool::new(false));
    // Written in place and in pieces, as nobody should: of one length each time, and with other content.
    let (path, ended) = (bed.path("edge.bundle"), Arc::clone(&over));
    let writer = std::thread::spawn(move || {
        use std::io::Write as _;
        for number in 0_u32.. {
            let bytes =
                bartizan_compiler::artifact::envelope(number.to_string().repeat(20_000).as_bytes(), &[])
                    .unwrap();
            let mut file = std::fs::File::create(&path).unwrap();
            for piece in bytes.chunks(4096) {
                file.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
            drop(file);
            std::thread::sleep(Duration::from_millis(30));
            if ended.load(Ordering::Relaxed) {
                return bytes;
            }
        }
        Vec::new()
    });
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..300 {
        let answer = bed.get("/edge.bundle", "").await;
        assert_eq!((answer.status, answer.header("etag")), (200, etag(&answer.body).as_str()));
        bartizan_engine::envelope::dsse::Envelope::parse(&answer.body).unwrap();
        seen.insert(answer.header("etag").to_owned());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    over.store(true, Ordering::Relaxed);
    let last = writer.join().unwrap();
    bed.serves("/edge.bundle", 200, &last).await;
    assert!(seen.len() > 3, "{}", seen.len());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn no_link_leads_out_of_the_directory() {
    use std::os::unix::fs::symlink;
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    bed.write("../outside.bundle", &artifact(9));
    symlink("../outside.bundle", bed.path("out.bundle")).unwrap();
    symlink("/proc/self/mem", bed.path("mem.bundle")).unwrap();
    symlink("loop.bundle", bed.path("loop.bundle")).unwrap();
    symlink("nowhere", bed.path("nowhere.bundle")).unwrap();
    // As Kubernetes mounts a ConfigMap: names lead to a directory that is swapped as a whole.
    bed.write("..data-1/map.bundle", &artifact(2));
    bed.write("..data-2/map.bundle", &artifact(3));
    symlink("..data-1", bed.path("..data")).unwrap();
    symlink("..data/map.bundle", bed.path("map.bundle")).unwrap();
    // Whoever opens a pipe waits for whoever writes into it.
    let pipe = std::process::Command::new("mkfifo").arg(bed.path("pipe.bundle")).status().unwrap();
    assert!(pipe.success());
    std::fs::create_dir(bed.path("directory.bundle")).unwrap();
    bed.serves("/map.bundle", 200, &artifact(2)).await;
    symlink("..data-2", bed.path("..new")).unwrap();
    std::fs::rename(bed.path("..new"), bed.path("..data")).unwrap();
    bed.serves("/map.bundle", 200, &artifact(3)).await;
    for name in ["out", "mem", "loop", "nowhere", "pipe", "directory"] {
        assert_eq!(bed.get(&format!("/{name}.bundle"), "").await.status, 404, "{name}");
        bed.says(&format!("/{name}.bundle: ")).await;
    }
    bed.says("leads out of the directory").await;
    // A good one that becomes a link to the outside stays as it was.
    std::fs::remove_file(bed.path("edge.bundle")).unwrap();
    symlink("../outside.bundle", bed.path("edge.bundle")).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let edge = bed.get("/edge.bundle", "").await;
    assert!(edge.status == 404 || edge.body == artifact(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_goes_takes_nothing_with_it() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    let (served, elsewhere) = (bed.path(""), bed.path("").parent().unwrap().join("elsewhere"));
    std::fs::rename(&served, &elsewhere).unwrap();
    bed.says("served: ").await;
    assert_eq!(bed.get("/edge.bundle", "").await.body, artifact(1));
    std::fs::rename(&elsewhere, &served).unwrap();
    bed.write("edge.bundle", &artifact(2));
    bed.serves("/edge.bundle", 200, &artifact(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_gone_when_it_is_gone_twice() {
    let limits = Limits { look: Duration::from_millis(400), ..Limits::default() };
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], limits).await;
    for _ in 0..6 {
        // For so short a time that one look at most falls into it, and then there for more than one.
        std::fs::remove_file(bed.path("edge.bundle")).unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        bed.write("edge.bundle", &artifact(1));
        for _ in 0..30 {
            assert_eq!(bed.get("/edge.bundle", "").await.status, 200);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    std::fs::remove_file(bed.path("edge.bundle")).unwrap();
    bed.serves("/edge.bundle", 404, b"").await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_may_be_a_link_that_is_moved() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (name, number) in [("release-1", 1), ("release-2", 2)] {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::write(path(name).join("edge.bundle"), artifact(number)).unwrap();
    }
    symlink("release-1", path("current")).unwrap();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        paths: vec![path("current")],
        trust: None,
        limits: Limits::default(),
    };
    let lines = Lines::default();
    let server = Server::start(config, Log::new(Form::Text, Box::new(lines.clone()))).await.unwrap();
    let bed = Bed::of(directory, server, lines);
    bed.serves("/edge.bundle", 200, &artifact(1)).await;
    symlink("release-2", bed.outside("next")).unwrap();
    std::fs::rename(bed.outside("next"), bed.outside("current")).unwrap();
    bed.serves("/edge.bundle", 200, &artifact(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_is_not_gone() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("edge.bundle"), artifact(1)).unwrap();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        paths: vec![folder.join("edge.bundle")],
        trust: None,
        limits: Limits::default(),
    };
    let lines = Lines::default();
    let server = Server::start(config, Log::new(Form::Text, Box::new(lines.clone()))).await.unwrap();
    let bed = Bed::of(directory, server, lines);
    std::fs::rename(&folder, bed.outside("elsewhere")).unwrap();
    // To look below a file is an error, and not the answer that there is nothing.
    std::fs::write(&folder, b"").unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(bed.get("/edge.bundle", "").await.body, artifact(1));
}

fn signed(revision: u64, key: &SigningKey) -> Vec<u8> {
    release(revision, key, "")
}

/// An artifact, with more in its bundle.
fn release(revision: u64, key: &SigningKey, more: &str) -> Vec<u8> {
    let text = format!("apiVersion: bartizan/v1\nname: edge\n{more}routes: [{{path: /, access: public}}]\n");
    let compiled = compile_files(BTreeMap::from([("bundle.yaml".to_owned(), text.into_bytes())]));
    let payload = payload(&compiled, Some(revision), None).unwrap();
    let mut artifact =
        Artifact::read(&bartizan_compiler::artifact::envelope(&payload, &[]).unwrap()).unwrap();
    artifact.sign(key).unwrap();
    artifact.to_bytes().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_trust_only_what_it_takes_is_served() {
    let (ours, theirs) = (SigningKey::ed25519([1; 32]).unwrap(), SigningKey::ed25519([2; 32]).unwrap());
    let key = TrustedKey { pem: Some(public_pem(&ours.public().unwrap())), ..TrustedKey::default() };
    let trust = Trust::load(&TrustPlan { keys: vec![key], threshold: 1, name: None }).unwrap();
    let good = signed(1, &ours);
    let bed = Bed::with(
        &[("edge.bundle", &good), ("theirs.bundle", &signed(1, &theirs)), ("unsigned.bundle", &artifact(1))],
        Limits::default(),
        Some(trust),
        Form::Text,
    )
    .await;
    assert_eq!(bed.get("/edge.bundle", "").await.body, good);
    bed.says("serves /edge.bundle: bundle `edge` revision 1, ").await;
    for name in ["theirs", "unsigned"] {
        assert_eq!(bed.get(&format!("/{name}.bundle"), "").await.status, 404);
        bed.says(&format!("refuses /{name}.bundle: too-few-signatures: ")).await;
    }
    // One for later: refused until then, once, and served from then on.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let moment = bartizan_spec::time::Moment::of_seconds(now + 3).unwrap();
    let later = release(3, &ours, &format!("not_before: {moment}\n"));
    bed.write("later.bundle", &later);
    bed.says("refuses /later.bundle: not-yet-valid: ").await;
    bed.serves("/later.bundle", 200, &later).await;
    assert_eq!(bed.lines.text().matches("refuses /later.bundle").count(), 1, "{}", bed.lines.text());
    bed.write("edge.bundle", &signed(2, &theirs));
    bed.says("refuses /edge.bundle: too-few-signatures: ").await;
    assert_eq!(bed.get("/edge.bundle", "").await.body, good);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["a", "b"] {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::write(path(name).join("edge.bundle"), artifact(1)).unwrap();
    }
    let start = async |paths: Vec<PathBuf>, listen: &str| {
        let lines = Lines::default();
        let config =
            Config { listen: listen.parse().unwrap(), paths, trust: None, limits: Limits::default() };
        let server = Server::start(config, Log::new(Form::Text, Box::new(lines.clone()))).await;
        (server, lines)
    };
    let (server, _) = start(vec![path("nowhere")], "127.0.0.1:0").await;
    assert!(server.unwrap_err().contains("nowhere: no such file"));
    let (server, _) = start(vec![path("a/edge.bundle"), path("b/edge.bundle")], "127.0.0.1:0").await;
    assert!(server.unwrap_err().contains("a second file with this name"));
    // Of two directories the first wins, and a file that was named wins over both; it may lie anywhere and end with anything.
    std::fs::write(path("b/edge.bundle"), artifact(2)).unwrap();
    std::fs::write(path("other.json"), artifact(3)).unwrap();
    let (server, lines) = start(vec![path("a"), path("b"), path("other.json")], "127.0.0.1:0").await;
    let server = server.unwrap();
    assert_eq!(server.artifacts(), 2);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(lines.text().matches("has this name").count(), 1, "{}", lines.text());
    let (second, _) = start(vec![path("a")], &server.address().to_string()).await;
    assert!(second.unwrap_err().contains("address already in use"));
    server.stop().await;
}
