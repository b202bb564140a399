//! A tour of what the bundle `iot-gateway` lets in and what it refuses, as a table.

use anyhow::{Result, ensure};
use bartizan_cases::format::{Tamper, Token};
use serde_json::{Value, json};

use crate::client::{Protocol, send};
use crate::config;
use crate::deploy::{Guard, Policy, Post, Signatures, Stage};
use crate::message::{Request, Response};
use crate::show::{Paint, table};

/// The bundle that `make run` and `make demo` show.
pub const BUNDLE: &str = "policy-bundles/library/iot-gateway";

/// How often a client may ask within a minute there.
const PER_MINUTE: usize = 60;

/// One stop of the tour.
struct Stop {
    what: &'static str,
    request: Request,
    /// The status, and the reason of a refusal.
    expected: (u16, Option<&'static str>),
}

/// What the policy of the tour is called in Envoy.
const NAME: &str = "demo";

/// The policy of the tour.
///
/// # Errors
/// When the bundle does not compile.
pub fn post() -> Result<Post> {
    Ok(Post::new(NAME, Policy::compile(&config::root()?.join(BUNDLE))?, Signatures::Auto))
}

/// Shows the tour, and fails when a stop is not as expected.
///
/// # Errors
/// When a line of the table is not as expected, or the proxy breaks.
pub async fn demo(stage: &mut Stage) -> Result<()> {
    let paint = Paint::of_stdout();
    let guard = stage.guard(NAME)?.clone();
    println!("{}\n", paint.bold("Bartizan guards an upstream with the bundle iot-gateway, in a real Envoy"));

    let mut rows =
        vec![["", "request", "expected", "got", "reason", "headers that matter"].map(str::to_owned).to_vec()];
    let mut wrong = 0;
    for stop in tour(&guard)? {
        let response = send(guard.address, None, Protocol::Http1, &stop.request).await?;
        rows.push(row(stop.what, stop.expected, &response, &mut wrong));
    }
    flood(&guard, &mut rows, &mut wrong).await?;
    stage.unharmed().await?;

    for (number, line) in table(&rows).iter().enumerate() {
        let colour = match (number, line.starts_with("ok")) {
            (0, _) => paint.bold(line),
            (_, true) => line.replacen("ok", &paint.green("ok"), 1),
            (_, false) => paint.red(line),
        };
        println!("{colour}");
    }
    println!();
    ensure!(wrong == 0, "{wrong} of {} lines are not as expected", rows.len() - 1);
    println!("{}", paint.green(&format!("all {} lines are as expected", rows.len() - 1)));
    Ok(())
}

/// A subject spends its minute, and then some.
async fn flood(guard: &Guard, rows: &mut Vec<Vec<String>>, wrong: &mut usize) -> Result<()> {
    let token = guard.token("impatient", &["viewer"])?;
    let request = Request::new("GET", "/api/v1/sensors").bearer(&token);
    let mut allowed = 0;
    let mut last = Response::default();
    for _ in 0..=PER_MINUTE {
        last = send(guard.address, None, Protocol::Http1, &request).await?;
        allowed += usize::from(last.status == 200);
    }
    // A bucket trickles: a slow machine may have earned one more while the others were sent.
    let budget = [PER_MINUTE, PER_MINUTE + 1].contains(&allowed);
    *wrong += usize::from(!budget);
    let ok = if budget { "ok" } else { "NO" };
    let what = format!("flooded: a client asks {} times at once", PER_MINUTE + 1);
    rows.push(
        [ok, &what, &format!("{PER_MINUTE} x 200"), &format!("{allowed} x 200"), "", ""]
            .map(str::to_owned)
            .to_vec(),
    );
    while last.status == 200 {
        last = send(guard.address, None, Protocol::Http1, &request).await?;
    }
    rows.push(row("flooded: its next request", (429, Some("limit-exceeded")), &last, wrong));
    let other = Request::new("GET", "/api/v1/sensors").bearer(&guard.token("patient", &["viewer"])?);
    let response = send(guard.address, None, Protocol::Http1, &other).await?;
    rows.push(row("another client, in the meantime", (200, None), &response, wrong));
    Ok(())
}

fn row(what: &str, expected: (u16, Option<&str>), response: &Response, wrong: &mut usize) -> Vec<String> {
    let reason = response.reason();
    let fits = response.status == expected.0 && reason.as_deref() == expected.1;
    *wrong += usize::from(!fits);
    vec![
        if fits { "ok" } else { "NO" }.to_owned(),
        what.to_owned(),
        expected.0.to_string(),
        response.status.to_string(),
        reason.unwrap_or_default(),
        headers(response),
    ]
}

/// The headers that tell a client what to do next, or show what was added.
fn headers(response: &Response) -> String {
    let names: &[&str] = match response.status {
        401 => &["www-authenticate"],
        405 => &["allow"],
        429 => &["retry-after", "ratelimit"],
        200 => &["ratelimit", "x-content-type-options"],
        _ => &["x-content-type-options"],
    };
    let shown = names.iter().filter_map(|name| Some(format!("{name}: {}", response.header(name)?)));
    shown.map(|line| line.chars().take(60).collect::<String>()).collect::<Vec<_>>().join("; ")
}

fn tour(guard: &Guard) -> Result<Vec<Stop>> {
    let viewer = guard.token("vera", &["viewer"])?;
    let operator = guard.token("otto", &["operator"])?;
    let admin = guard.token("ada", &["admin"])?;
    let token = |token: Token| guard.mint("mallory", &Token { roles: Some(json!(["admin"])), ..token });
    let claims = |name: &str, value: &str| [(name.to_owned(), json!(value))].into();
    let expired = token(Token { claims: claims("exp", "-1m"), ..Token::default() })?;
    let elsewhere = token(Token { claims: claims("aud", "another-service"), ..Token::default() })?;
    let stranger = token(Token { key: Some("stranger".to_owned()), ..Token::default() })?;
    let altered = token(Token { tamper: vec![Tamper::FlipPayload], ..Token::default() })?;
    let device = Token { permissions: Some(json!(["telemetry:write:sensor-7"])), ..Token::default() };
    let device = guard.mint("sensor-7", &device)?;

    let reading = json!({
        "sensor_id": "sensor-7", "timestamp": "2026-01-01T12:00:00Z", "temperature": 21.5, "humidity": 40,
    });
    let with = |name: &str, value: Value| {
        let mut changed = reading.clone();
        if let Some(object) = changed.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
        changed.to_string()
    };
    let send = |body: String| {
        Request::new("POST", "/api/v1/telemetry").bearer(&operator).body("application/json", body)
    };
    let own =
        |path: &str| Request::new("POST", path).bearer(&device).body("application/json", reading.to_string());
    let get = |path: &str| Request::new("GET", path);
    let read = |path: &str| get(path).bearer(&viewer);
    let stop = |what, request, status, reason| Stop { what, request, expected: (status, reason) };

    Ok(vec![
        stop("allowed: a viewer reads a sensor", read("/api/v1/sensors/sensor-7"), 200, None),
        stop("allowed: an operator sends a reading", send(reading.to_string()), 200, None),
        stop("allowed: a sensor sends its own reading", own("/api/v1/sensors/sensor-7/telemetry"), 200, None),
        stop(
            "forbidden: a sensor speaks for another",
            own("/api/v1/sensors/sensor-8/telemetry"),
            403,
            Some("permission-denied"),
        ),
        stop(
            "forbidden: a viewer removes a sensor",
            Request::new("DELETE", "/api/v1/sensors/sensor-7").bearer(&viewer),
            403,
            Some("permission-denied"),
        ),
        stop(
            "allowed: an admin removes it",
            Request::new("DELETE", "/api/v1/sensors/sensor-7").bearer(&admin),
            200,
            None,
        ),
        stop("no token", get("/api/v1/sensors"), 401, Some("token-missing")),
        stop(
            "expired: a token of a minute ago",
            get("/api/v1/users").bearer(&expired),
            401,
            Some("token-expired"),
        ),
        stop(
            "forged: signed with another key",
            get("/api/v1/users").bearer(&stranger),
            401,
            Some("token-invalid"),
        ),
        stop(
            "forged: altered after it was signed",
            get("/api/v1/users").bearer(&altered),
            401,
            Some("token-invalid"),
        ),
        stop(
            "meant for another service",
            get("/api/v1/users").bearer(&elsewhere),
            401,
            Some("token-invalid"),
        ),
        stop("no such route", read("/api/v1/secrets"), 404, Some("route-unknown")),
        stop(
            "a method the route does not have",
            Request::new("PATCH", "/api/v1/sensors").bearer(&admin),
            405,
            Some("method-not-allowed"),
        ),
        stop(
            "injected: SQL in the query",
            read("/api/v1/sensors?name=x'%20OR%20'1'='1"),
            403,
            Some("attack-sqli"),
        ),
        stop(
            "injected: a script in a JSON field",
            send(with("location", json!("<script>alert(1)</script>"))),
            403,
            Some("attack-xss"),
        ),
        stop(
            "injected: a path that climbs out",
            read("/api/v1/logs/files/..%2f..%2fetc%2fpasswd"),
            400,
            Some("path-ambiguous"),
        ),
        stop("a reading of 999 degrees", send(with("temperature", json!(999))), 400, Some("body-schema")),
        stop(
            "a reading that is no JSON",
            send("{\"temperature\": NaN}".to_owned()),
            400,
            Some("body-malformed"),
        ),
        stop(
            "oversized: a reading of 100 KB",
            send(with("location", json!("a".repeat(100_000)))),
            413,
            Some("body-too-large"),
        ),
        stop(
            "oversized: a header of 20 KB",
            read("/api/v1/sensors").header("x-large", "a".repeat(20_000)),
            431,
            Some("headers-too-large"),
        ),
    ])
}
