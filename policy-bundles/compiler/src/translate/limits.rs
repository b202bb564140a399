//! Rate limits.

use bartizan_engine::limits::plan as engine;
use bartizan_spec::limits::{Limit, LimitHeaders, LimitKey};

use super::Input;
use crate::diagnostic::Report;
use crate::yaml::Cursor;

pub(super) fn translate(input: &Input<'_>, report: &mut Report) -> Vec<engine::LimitPlan> {
    let all = input.root().get("limits");
    let one = |(name, limit): (&bartizan_spec::text::LimitName, &Limit)| {
        let at = all.get(name.as_str());
        engine::LimitPlan {
            id: name.as_str().to_owned(),
            at: at.at(),
            key: match limit.key {
                LimitKey::ClientAddress => engine::LimitKey::Address,
                LimitKey::IdentitySubject => engine::LimitKey::Subject,
                LimitKey::Everybody => engine::LimitKey::Everybody,
            },
            windows: windows(name.as_str(), limit, at, report),
            slots: slots(limit, at, report),
            headers: match limit.headers {
                LimitHeaders::Both => engine::LimitHeaders { ratelimit: true, x_ratelimit: true },
                LimitHeaders::RateLimit => engine::LimitHeaders { ratelimit: true, x_ratelimit: false },
                LimitHeaders::XRateLimit => engine::LimitHeaders { ratelimit: false, x_ratelimit: true },
                LimitHeaders::None => engine::LimitHeaders { ratelimit: false, x_ratelimit: false },
            },
        }
    };
    input.bundle.limits.0.iter().map(one).collect()
}

fn slots(limit: &Limit, at: Cursor<'_>, report: &mut Report) -> u32 {
    if !limit.slots.is_power_of_two() {
        let below = limit.slots.checked_ilog2().map_or(256, |log| 1_u32 << log);
        report.error(
            "limit-slots",
            at.get("slots").span(),
            format!("`slots` must be a power of two, found {}", limit.slots),
            format!("write {below} or {}", below.saturating_mul(2).min(1 << 20)),
        );
    }
    limit.slots
}

/// The longest time in which a bucket fills: a century, which the engine counts in nanoseconds.
const LONGEST_FILL_MS: u128 = 36_500 * 86_400_000;

fn windows(name: &str, limit: &Limit, at: Cursor<'_>, report: &mut Report) -> Vec<engine::WindowPlan> {
    let rates = &limit.rate.0;
    let shortest = rates.iter().map(|rate| rate.period).min();
    let mut windows: Vec<engine::WindowPlan> = Vec::new();
    for (index, rate) in rates.iter().enumerate() {
        let here = at.get("rate").item(index).span();
        let burst =
            if Some(rate.period) == shortest { limit.burst.unwrap_or(rate.count) } else { rate.count };
        let window = engine::WindowPlan { count: rate.count, period_ms: rate.period.millis(), burst };
        if let Some(other) = rates.iter().take(index).find(|other| other.period == rate.period) {
            report.error(
                "rate-twice",
                here,
                format!("the limit `{name}` has two rates per {}: `{other}` and `{rate}`", rate.period),
                "keep the smaller one",
            );
        } else if let Some(other) = rates.iter().zip(&windows).find(|(_, o)| never_first(&window, o)) {
            report.warning(
                "rate-without-effect",
                here,
                format!(
                    "the rate `{rate}` of the limit `{name}` is never reached: `{}` is always reached first",
                    other.0
                ),
                "remove it, or make it smaller",
            );
        }
        let fills_ms = u128::from(window.burst).saturating_mul(u128::from(window.period_ms))
            / u128::from(window.count.max(1));
        if fills_ms > LONGEST_FILL_MS {
            report.error(
                "burst-never-filled",
                at.get("burst").span(),
                format!("at the rate `{rate}` a burst of {burst} takes more than a century to fill"),
                "make `burst` smaller, or the rate faster",
            );
        }
        windows.push(window);
    }
    windows
}

/// Whether `window` can never refuse what `other` admits: it fills at least as fast and holds at least as much.
fn never_first(window: &engine::WindowPlan, other: &engine::WindowPlan) -> bool {
    let speed = |a: &engine::WindowPlan, b: &engine::WindowPlan| {
        u128::from(a.count).saturating_mul(u128::from(b.period_ms))
    };
    speed(window, other) >= speed(other, window) && window.burst >= other.burst
}
