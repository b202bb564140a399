//! What the server says: a line for each request, and one for each change of what is served.
//!
//! Lines go through a queue to a thread of their own, so that whoever reads them slowly holds up no request. When the
//! queue is full, lines are dropped and counted.

use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bartizan_engine::envelope::Refused;
use bartizan_engine::envelope::payload::About;
use bartizan_spec::time::Moment;
use http::header::USER_AGENT;
use http::{Request, StatusCode};
use serde_json::{Map, Value, json};

use crate::text::clean;

/// How many lines wait for whoever reads them.
const QUEUE: usize = 4096;

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object in each line.
    Json,
}

/// Where lines go.
#[derive(Debug, Clone)]
pub struct Log {
    form: Form,
    queue: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

enum Line {
    Text(String),
    Flush(SyncSender<()>),
}

impl Log {
    /// A log that writes to `out`.
    #[must_use]
    pub fn new(form: Form, out: Box<dyn Write + Send>) -> Self {
        let (queue, lines) = sync_channel(QUEUE);
        // It ends with the last sender.
        std::thread::spawn(move || write(&lines, out));
        Self { form, queue, dropped: Arc::default() }
    }

    /// Waits until everything is written, but not for ever.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Line::Flush(done)).is_ok() {
            let _ = written.recv_timeout(Duration::from_secs(1));
        }
    }

    pub(super) fn note(&self, note: &Note<'_>) {
        let text = match self.form {
            Form::Text => format!("{} {}\n", time(), note.text()),
            Form::Json => line(note.json()),
        };
        self.send(text);
    }

    fn send(&self, text: String) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let what = format!("{dropped} lines were dropped: nobody read them");
            let text = match self.form {
                Form::Text => format!("{} {what}\n", time()),
                Form::Json => line(json!({"event": "dropped", "lines": dropped, "detail": what})),
            };
            if self.queue.try_send(Line::Text(text)).is_err() {
                self.dropped.fetch_add(dropped, Ordering::Relaxed);
            }
        }
        if self.queue.try_send(Line::Text(text)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(lines: &Receiver<Line>, mut out: Box<dyn Write + Send>) {
    for line in lines {
        // Nothing can be done about a log that cannot be written.
        match line {
            Line::Text(text) => drop(out.write_all(text.as_bytes())),
            Line::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
    }
}

/// Something that happened to what is served.
#[derive(Debug)]
pub(super) enum Note<'n> {
    /// An artifact is served from now on.
    Serves { name: &'n str, bytes: usize, digest: &'n str, about: Option<&'n About> },
    /// A file is not served; if there was a good one, that stays.
    Refused { name: &'n str, refused: &'n Refused, stays: bool },
    /// A file is gone, and so is its artifact.
    Gone { name: &'n str },
    /// Something cannot be served.
    Trouble { place: &'n str, what: &'n str },
}

impl Note<'_> {
    fn text(&self) -> String {
        match self {
            Self::Serves { name, bytes, digest, about } => {
                let what = about.map_or_else(
                    || "a bundle of another release".to_owned(),
                    |about| {
                        format!(
                            "bundle `{}` revision {}",
                            clean(about.plan.name.as_bytes()),
                            about.plan.revision
                        )
                    },
                );
                format!("serves /{}: {what}, {bytes} bytes, sha256:{digest}", clean(name.as_bytes()))
            }
            Self::Refused { name, refused, stays } => {
                let stays = if *stays { "the one before stays" } else { "nothing is served" };
                let (code, remedy) = (refused.kind.code(), refused.kind.remedy());
                let detail = clean(refused.detail.as_bytes());
                format!("refuses /{}: {code}: {detail}; {remedy}; {stays}", clean(name.as_bytes()))
            }
            Self::Gone { name } => format!("serves /{} no more: the file is gone", clean(name.as_bytes())),
            Self::Trouble { place, what } => format!("{place}: {what}"),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Serves { name, bytes, digest, about } => json!({
                "event": "serves", "name": name, "bytes": bytes, "digest": format!("sha256:{digest}"),
                "bundle": about.map(|about| &about.plan.name), "revision": about.map(|about| about.plan.revision),
            }),
            Self::Refused { name, refused, stays } => json!({
                "event": "refuses", "name": name, "kind": refused.kind.code(), "detail": refused.detail,
                "remedy": refused.kind.remedy(), "stays": stays,
            }),
            Self::Gone { name } => json!({"event": "gone", "name": name}),
            Self::Trouble { place, what } => json!({"event": "trouble", "place": place, "detail": what}),
        }
    }
}

/// The line of one request. It is written when this is dropped: also if the client goes before there is an answer.
#[derive(Debug)]
pub(super) struct Access {
    log: Log,
    client: SocketAddr,
    method: String,
    path: String,
    protocol: String,
    agent: Option<String>,
    began: Instant,
    /// The status and the length of the body.
    answered: Option<(StatusCode, u64)>,
}

impl Access {
    pub(super) fn new<B>(log: &Log, client: SocketAddr, request: &Request<B>) -> Self {
        let path = request.uri().path_and_query().map_or("*", http::uri::PathAndQuery::as_str);
        Self {
            log: log.clone(),
            client,
            method: clean(request.method().as_str().as_bytes()),
            path: clean(path.as_bytes()),
            protocol: format!("{:?}", request.version()),
            agent: request.headers().get(USER_AGENT).map(|value| clean(value.as_bytes())),
            began: Instant::now(),
            answered: None,
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode, bytes: u64) {
        self.answered = Some((status, bytes));
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let text = match self.log.form {
            Form::Text => {
                let (status, bytes) = self.answered.map_or_else(
                    || ("-".to_owned(), 0),
                    |(status, bytes)| (status.as_str().to_owned(), bytes),
                );
                let mut text = format!(
                    "{} {} \"{} {} {}\" {status} {bytes} {milliseconds}ms",
                    time(),
                    self.client,
                    self.method,
                    self.path,
                    self.protocol
                );
                if let Some(agent) = &self.agent {
                    // Writing into a string cannot fail.
                    let _ = write!(text, " \"{agent}\"");
                }
                text + "\n"
            }
            Form::Json => line(json!({
                "event": "request", "client": self.client.to_string(), "method": self.method, "path": self.path,
                "protocol": self.protocol, "status": self.answered.map(|(status, _)| status.as_u16()),
                "bytes": self.answered.map_or(0, |(_, bytes)| bytes), "ms": milliseconds, "user_agent": self.agent,
            })),
        };
        self.log.send(text);
    }
}

/// A JSON line, with the time.
fn line(value: Value) -> String {
    let mut members = Map::from_iter([("time".to_owned(), Value::from(time()))]);
    if let Value::Object(more) = value {
        members.extend(more);
    }
    // Names of files come from anybody too: nothing but ASCII, so that no line steers a terminal.
    let mut text = String::new();
    for c in Value::Object(members).to_string().chars() {
        if (' '..='~').contains(&c) {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing into a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text + "\n"
}

fn time() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Moment::of_seconds(now).map_or_else(|| now.to_string(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_are_ascii_and_say_the_same() {
        let line = line(json!({"name": "gr\u{fc}n \u{202e}\u{7f}\u{1f600}\n"}));
        assert!(line.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["name"], "gr\u{fc}n \u{202e}\u{7f}\u{1f600}\n");
    }
}
