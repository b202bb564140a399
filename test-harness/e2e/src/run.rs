//! `make run`: an upstream that echoes, Envoy with Bartizan before it, and lines to try it with.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_cases::format::Token;
use serde_json::json;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::config;
use crate::demo::BUNDLE;
use crate::deploy::{Guard, Policy, Post, Signatures, Stage};
use crate::show::Paint;

/// What the policy is called in Envoy.
const NAME: &str = "run";

/// A line to paste, and what comes of it.
struct Try {
    what: &'static str,
    curl: String,
    status: u16,
}

/// Runs until it is told to stop; with `limit`, checks the printed lines and stops by itself.
///
/// # Errors
/// When Envoy does not start or ends early, or a printed line does not do what is said beside it.
pub async fn run(port: u16, limit: Option<Duration>) -> Result<()> {
    let paint = Paint::of_stdout();
    let policy = Policy::compile(&config::root()?.join(BUNDLE))?;
    let port = if free(port) { port } else { 0 };
    let mut stage = Stage::start(&[Post { port, ..Post::new(NAME, policy, Signatures::Auto) }]).await?;
    let guard = stage.guard(NAME)?.clone();
    let base = format!("http://{}", guard.address);
    let tokens = tokens(&guard)?;
    let tries = tries(&base);

    println!("{}", paint.bold("Bartizan is on guard."));
    println!("  clients       {base}");
    println!("  upstream      http://{}   (echoes what it receives)", stage.upstream.address());
    println!("  Envoy's admin http://{}", stage.envoy.admin());
    println!("  policy        {BUNDLE}/bundle.yaml");
    println!("\n{}", paint.dim("# Paste the tokens first; they are good for an hour."));
    for (name, token) in &tokens {
        println!("{name}={token}");
    }
    for line in &tries {
        let colour = if line.status < 400 { paint.green("allowed") } else { paint.red("refused") };
        println!(
            "\n{} {colour} {}",
            paint.dim(&format!("# {}:", line.what)),
            paint.dim(&format!("with {}", line.status))
        );
        println!("{}", line.curl);
    }
    println!(
        "\n{}",
        paint.dim(
            "# What is allowed comes back as upstream saw it: the token is gone, x-auth-subject says who it was.\n\
             # What is refused says why in `reason`, and never reaches upstream. Ctrl-C stops everything."
        )
    );

    if let Some(limit) = limit {
        check(&tokens, &tries).await?;
        println!("\nall {} lines do what they say; stopping after {} s", tries.len(), limit.as_secs());
        stop_or_timeout(&mut stage, Some(limit)).await?;
    } else {
        stop_or_timeout(&mut stage, None).await?;
    }
    stage.unharmed().await?;
    println!("\nstopping");
    stage.envoy.stop().await;
    Ok(())
}

async fn stop_or_timeout(stage: &mut Stage, limit: Option<Duration>) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut look = tokio::time::interval(Duration::from_millis(500));
    let end = tokio::time::sleep(limit.unwrap_or(Duration::from_secs(365 * 24 * 3600)));
    tokio::pin!(end);
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = &mut end => return Ok(()),
            _ = look.tick() => stage.envoy.alive()?,
        }
    }
}

fn free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn tokens(guard: &Guard) -> Result<Vec<(&'static str, String)>> {
    // ES256, for the shorter signature.
    let hour = |token: Token| Token {
        alg: Some("ES256".to_owned()),
        claims: [("exp".to_owned(), json!("+1h"))].into(),
        ..token
    };
    let of_role = |name, role: &str| {
        let token = hour(Token { roles: Some(json!([role])), ..Token::default() });
        Ok::<_, anyhow::Error>((name, guard.mint(&format!("{role}-1"), &token)?))
    };
    let device = hour(Token { permissions: Some(json!(["telemetry:write:sensor-7"])), ..Token::default() });
    Ok(vec![
        of_role("VIEWER", "viewer")?,
        of_role("OPERATOR", "operator")?,
        of_role("ADMIN", "admin")?,
        ("SENSOR", guard.mint("sensor-7", &device)?),
    ])
}

fn tries(base: &str) -> Vec<Try> {
    let line = |what, who: &str, rest: &str, status| {
        let token =
            if who.is_empty() { String::new() } else { format!("-H \"authorization: Bearer ${who}\" ") };
        Try { what, curl: format!("curl -i {token}{rest}"), status }
    };
    let reading = r#"-H 'content-type: application/json' -d '{"sensor_id":"sensor-7","timestamp":"2026-01-01T12:00:00Z","temperature":TEMPERATURE,"humidity":40}'"#;
    let reading = |temperature| reading.replace("TEMPERATURE", temperature);
    vec![
        line("a viewer reads a sensor", "VIEWER", &format!("{base}/api/v1/sensors/sensor-7"), 200),
        line("nobody reads it", "", &format!("{base}/api/v1/sensors/sensor-7"), 401),
        line("a viewer removes it", "VIEWER", &format!("-X DELETE {base}/api/v1/sensors/sensor-7"), 403),
        line("an admin removes it", "ADMIN", &format!("-X DELETE {base}/api/v1/sensors/sensor-7"), 200),
        line(
            "an operator sends a reading",
            "OPERATOR",
            &format!("{} {base}/api/v1/telemetry", reading("21.5")),
            200,
        ),
        line(
            "the same at 999 degrees",
            "OPERATOR",
            &format!("{} {base}/api/v1/telemetry", reading("999")),
            400,
        ),
        line(
            "a sensor sends its own",
            "SENSOR",
            &format!("{} {base}/api/v1/sensors/sensor-7/telemetry", reading("21.5")),
            200,
        ),
        line(
            "a sensor speaks for another",
            "SENSOR",
            &format!("{} {base}/api/v1/sensors/sensor-8/telemetry", reading("21.5")),
            403,
        ),
        line("SQL in the query", "VIEWER", &format!("\"{base}/api/v1/sensors?name=x'%20OR%20'1'='1\""), 403),
        line(
            "a path that climbs out",
            "VIEWER",
            &format!("--path-as-is {base}/api/v1/logs/files/..%2f..%2fetc%2fpasswd"),
            400,
        ),
    ]
}

/// Runs the lines as they were printed, in a shell.
async fn check(tokens: &[(&str, String)], tries: &[Try]) -> Result<()> {
    let variables: String = tokens.iter().map(|(name, token)| format!("{name}={token}\n")).collect();
    for line in tries {
        let script = format!("{variables}{} -s -o /dev/null -w '%{{http_code}}'", line.curl);
        let output =
            Command::new("bash").arg("-c").arg(&script).output().await.context("bash and curl are needed")?;
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            status == line.status.to_string(),
            "{}: expected {}, got `{status}`: {}",
            line.what,
            line.status,
            line.curl
        );
    }
    Ok(())
}
