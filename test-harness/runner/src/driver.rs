//! What a case is run on, and what a run comes to.
//!
//! A driver sends requests somewhere and says what came back; [`run`] walks the steps of a case over it and has the
//! judge look. So all drivers run the same cases under the same judge, and differ in nothing but the place.

use std::fmt;
use std::time::Duration;

use crate::expand::{Concrete, Run, Target};
use crate::format::Expect;
use crate::judge::judge;
use crate::mint::Mint;
use crate::native::Traced;
use crate::wire::{Observed, Wire};

/// A policy in force somewhere.
pub trait Driver {
    /// Where that is.
    fn target(&self) -> Target;

    /// Before each run: nothing is spent, nothing is made to fail.
    ///
    /// # Errors
    /// If the policy cannot be put in force anew.
    fn fresh(&mut self) -> Result<(), Broken>;

    /// The time since 1970, by which tokens are minted.
    fn now(&self) -> Duration;

    /// Lets time pass.
    fn wait(&mut self, time: Duration);

    /// Sends a request and answers it as upstream would.
    ///
    /// # Errors
    /// If what should have judged the request broke.
    fn send(&mut self, wire: &Wire) -> Result<Observed, Broken>;
}

/// The place broke, so that the case shows nothing: the module trapped, a policy was not taken. In one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a run came to.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Everything is as expected.
    Passed,
    /// Something is not.
    Failed(Box<Failure>),
    /// The run could not be done, and why.
    Error(String),
    /// It does not run there, for this reason.
    Skipped(String),
}

/// The request that did not get what the case expects.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which step of the run, counted from one.
    pub step: usize,
    /// How many steps the run has.
    pub steps: usize,
    /// Which turn of the step, counted from one.
    pub turn: u32,
    /// The request.
    pub sent: Wire,
    /// What must come of it.
    pub expected: Expect,
    /// What came of it.
    pub observed: Observed,
    /// What is wrong, as sentences.
    pub problems: Vec<String>,
    /// What the engine considers when it judges the same request natively.
    pub explanation: Option<Traced>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.steps {
            0 | 1 => String::new(),
            _ => format!("step {}, turn {}: ", self.step, self.turn),
        };
        let mut between = "";
        for problem in &self.problems {
            write!(f, "{between}{place}{problem}")?;
            between = "\n";
        }
        if let Some(explanation) = &self.explanation {
            write!(f, "\nwhat the engine considered:")?;
            for line in explanation.to_string().lines() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

/// A run that is over.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What it came to.
    pub verdict: Verdict,
    /// How many requests were sent.
    pub requests: u32,
}

/// One request of a run, and what came of it.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The request, and what must come of it.
    pub concrete: &'a Concrete,
    /// What came of it.
    pub observed: &'a Observed,
}

/// Runs a case from a fresh start. The number must be another for every run that shares state; see
/// [`crate::expand::RunStep::concrete`].
pub fn run(driver: &mut dyn Driver, run: &Run, number: u32, mint: &Mint) -> Ran {
    watch(driver, run, number, mint, &mut |_| ())
}

/// As [`run`], and shows each request when it was answered.
pub fn watch(
    driver: &mut dyn Driver,
    run: &Run,
    number: u32,
    mint: &Mint,
    show: &mut dyn FnMut(&Moment<'_>),
) -> Ran {
    let mut requests = 0;
    let verdict = walk(driver, run, number, mint, show, &mut requests);
    Ran { verdict: verdict.unwrap_or_else(Verdict::Error), requests }
}

/// Why a step cannot be done, with its number if there are several.
fn told(run: &Run, step: usize, why: &str) -> String {
    match run.steps.len() {
        0 | 1 => why.to_owned(),
        steps => format!("step {step} of {steps}: {why}"),
    }
}

fn walk(
    driver: &mut dyn Driver,
    run: &Run,
    number: u32,
    mint: &Mint,
    show: &mut dyn FnMut(&Moment<'_>),
    requests: &mut u32,
) -> Result<Verdict, String> {
    let target = driver.target();
    if let Some(why) = run.left_out(target) {
        return Ok(Verdict::Skipped(why));
    }
    driver.fresh().map_err(|broken| broken.0)?;
    for (step, number_of_step) in run.steps.iter().zip(1..) {
        driver.wait(step.wait);
        let at = |why: String| told(run, number_of_step, &why);
        let concrete = step.concrete(number, driver.now().as_secs(), mint).map_err(at)?;
        for turn in 1..=step.repeat {
            let observed = driver.send(&concrete.wire).map_err(|broken| at(broken.0))?;
            *requests = requests.saturating_add(1);
            show(&Moment { concrete: &concrete, observed: &observed });
            let problems = judge(&concrete, &observed, target);
            if !problems.is_empty() {
                return Ok(Verdict::Failed(Box::new(Failure {
                    step: number_of_step,
                    steps: run.steps.len(),
                    turn,
                    sent: concrete.wire,
                    expected: concrete.expect,
                    observed,
                    problems,
                    explanation: None,
                })));
            }
        }
    }
    if *requests == 0 {
        return Err(
            "no request was sent, so the case shows nothing; give it a step that sends one".to_owned()
        );
    }
    Ok(Verdict::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place that lets everything through.
    struct Open;

    impl Driver for Open {
        fn target(&self) -> Target {
            Target::Native
        }

        fn fresh(&mut self) -> Result<(), Broken> {
            Ok(())
        }

        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn wait(&mut self, _: Duration) {}

        fn send(&mut self, wire: &Wire) -> Result<Observed, Broken> {
            let (method, path) = (wire.method.clone(), wire.path.clone());
            let upstream = Some(crate::wire::Seen { method, path, ..Default::default() });
            Ok(Observed { status: 200, body: b"ok".to_vec(), upstream, ..Observed::default() })
        }
    }

    #[test]
    fn what_is_not_seen_there_is_not_passed_there() {
        let bundle = "{apiVersion: bartizan/v1, name: x, routes: [{path: /, access: public, limits: []}]}";
        for (expect, why) in [
            ("{metrics: {bartizan.refused.no-policy: 0}}", "`metrics`"),
            ("{log: [a]}", "`metrics` and `log` are seen simulated alone"),
            ("allow", ""),
        ] {
            let text = format!(
                "bundle: {{text: '{bundle}'}}\ncases: [{{name: a, steps: [{{}}, {{expect: {expect}}}]}}]\n"
            );
            let (suite, runs) = crate::suite::parse(&text, "s").unwrap();
            let (path, file, lines) = (std::path::PathBuf::new(), "s".into(), Default::default());
            let loaded = crate::suite::Loaded { path, file, suite, runs: runs.clone(), lines };
            let mint = loaded.prepare().unwrap().mint;
            for target in [Target::Native, Target::Envoy(crate::format::Http::V2)] {
                assert!(runs[0].left_out(target).unwrap_or_default().contains(why), "{expect}");
                assert_eq!(runs[0].left_out(target).is_none(), why.is_empty(), "{expect}");
            }
            assert_eq!(runs[0].left_out(Target::Simulated(crate::format::Http::V1)), None);
            let skipped = matches!(run(&mut Open, &runs[0], 1, &mint).verdict, Verdict::Skipped(_));
            assert_eq!(skipped, !why.is_empty(), "{expect}");
        }
    }

    #[test]
    fn a_run_without_requests_does_not_pass() {
        let bundle = "{apiVersion: bartizan/v1, name: x, routes: [{path: /, access: public, limits: []}]}";
        let text = format!("bundle: {{text: '{bundle}'}}\ncases: [{{name: a}}]\n");
        let (suite, runs) = crate::suite::parse(&text, "s").unwrap();
        let mut empty = runs[0].clone();
        let (path, file) = (std::path::PathBuf::new(), "s".into());
        let mint = crate::suite::Loaded { path, file, suite, runs, lines: std::collections::BTreeMap::new() }
            .prepare()
            .unwrap()
            .mint;
        assert!(matches!(run(&mut Open, &empty, 1, &mint).verdict, Verdict::Passed));
        empty.steps.clear();
        let ran = run(&mut Open, &empty, 1, &mint);
        assert!(matches!(ran.verdict, Verdict::Error(_)), "{ran:?}");
    }
}
