//! What must come of a request.

use std::collections::BTreeMap;
use std::fmt;

use bartizan_compiler::suggest;
use bartizan_engine::reason::Reason;
use schemars::JsonSchema;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::placeholder::is_template;
use super::text_or_map::text_or_map;

/// What must come of a request: `allow`, a reason code, or a mapping that says more.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// Let through, or refused for a reason.
    pub decision: Decision,
    /// The status, if it is not the one that follows from the decision.
    pub status: Option<u16>,
    /// Response headers as the client sees them.
    pub headers: BTreeMap<String, Option<HeaderMatch>>,
    /// Exactly these JSON pointers stand in the problem document's `errors`.
    pub errors: Option<Vec<String>>,
    /// What upstream must have seen.
    pub upstream: Option<Upstream>,
    /// An answer that the proxy itself may give before the filter sees the request.
    pub proxy: Option<ProxyAnswer>,
    /// A text in what operators are told of a refusal, where that is seen: natively and simulated.
    pub rule: Option<String>,
    /// By how much counters of the filter grew, where that is seen: simulated.
    pub metrics: BTreeMap<String, u64>,
    /// Texts that each stand in a line of the log, where that is seen: simulated.
    pub log: Vec<String>,
}

/// What the filter decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The request reaches upstream.
    Allow,
    /// The request is refused.
    Refuse(Reason),
}

/// What a header must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderMatch {
    /// There once, with this value.
    Equals(String),
    /// There with these values, in order.
    All(Vec<String>),
    /// There at least once.
    Present,
    /// There once, and the whole value matches this regular expression.
    Matches(String),
    /// There once, with this text in it.
    Contains(String),
}

/// What upstream must have seen.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The method.
    #[serde(default)]
    pub method: Option<String>,
    /// Path and query, byte for byte.
    #[serde(default)]
    pub path: Option<String>,
    /// The host.
    #[serde(default)]
    pub host: Option<String>,
    /// Headers; null: absent.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<HeaderMatch>>,
    /// The body; what was sent, if this is not given.
    #[serde(default)]
    pub body: Option<String>,
}

/// An answer that the proxy may give by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyAnswer {
    /// Statuses that are as good as what is expected; 0 stands for a connection closed or reset.
    pub status: Vec<u16>,
    /// Why the proxy answers, as a sentence.
    pub because: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExpectMap {
    /// `allow` or a reason code; `allow` by default.
    #[serde(default = "allow")]
    decision: String,
    /// The status, if it is not the one that follows from the decision.
    status: Option<u16>,
    /// Response headers as the client sees them; null: absent.
    #[serde(default)]
    headers: BTreeMap<String, Option<HeaderMatch>>,
    /// Exactly these JSON pointers stand in the problem document's `errors`.
    errors: Option<Vec<String>>,
    /// What upstream must have seen.
    upstream: Option<Upstream>,
    /// An answer that the proxy itself may give before the filter sees the request.
    proxy: Option<ProxyAnswer>,
    /// A text in what operators are told of a refusal: the rule and its place. Seen natively and simulated.
    rule: Option<String>,
    /// By how much counters of the filter grew. Seen simulated.
    #[serde(default)]
    metrics: BTreeMap<String, u64>,
    /// Texts that each stand in a line of the log; other lines of level warn and above are wrong. Seen simulated.
    #[serde(default)]
    log: Vec<String>,
}

fn allow() -> String {
    "allow".into()
}

text_or_map!(Expect, ExpectMap, "allow, a reason code, or {decision, status, headers, errors, upstream, proxy, rule, metrics, log}", {
    text => |text| Decision::parse(&text).map(Expect::from),
    map => Expect::from_map,
});

impl Expect {
    fn from_map(map: ExpectMap) -> Result<Self, String> {
        let decision = Decision::parse(&map.decision)?;
        if map.upstream.is_some() && decision != Decision::Allow {
            return Err("a refused request never reaches upstream: take `upstream` away".into());
        }
        if map.errors.is_some() && decision == Decision::Allow {
            return Err("an allowed request has no `errors`".into());
        }
        if map.rule.is_some() && decision == Decision::Allow {
            return Err("`rule` is the rule that refuses: an allowed request has none".into());
        }
        if let Some(proxy) = &map.proxy {
            proxy.check()?;
        }
        map.check()?;
        Ok(Self {
            decision,
            status: map.status,
            headers: map.headers,
            errors: map.errors,
            upstream: map.upstream,
            proxy: map.proxy,
            rule: map.rule,
            metrics: map.metrics,
            log: map.log,
        })
    }
}

impl ExpectMap {
    /// Whether everything that is looked for can be missed.
    fn check(&self) -> Result<(), String> {
        let metrics: Vec<_> = Reason::ALL.iter().map(|reason| counter(*reason)).collect();
        if let Some(name) = self.metrics.keys().find(|name| !is_template(name) && !metrics.contains(name)) {
            let remedy = suggest::remedy(name, metrics.iter().map(String::as_str), "metrics");
            return Err(format!("the filter has no metric `{name}`; {remedy}"));
        }
        let rule = self.rule.iter().map(|text| ("rule", text));
        let mut texts = self.log.iter().map(|text| ("log", text)).chain(rule);
        match texts.find(|(_, text)| text.trim().is_empty()) {
            Some((name, _)) => {
                Err(format!("`{name}` has an empty text, which stands in everything: write more of it"))
            }
            None => Ok(()),
        }
    }
}

/// The counter of a refusal.
fn counter(reason: Reason) -> String {
    format!("bartizan.refused.{}", reason.code())
}

impl ProxyAnswer {
    fn check(&self) -> Result<(), String> {
        if self.status.is_empty() || self.status.iter().any(|status| (1..400).contains(status)) {
            return Err("`proxy` needs the statuses of a refusal: 400 and above, or 0".into());
        }
        Ok(())
    }
}

impl From<Decision> for Expect {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            status: None,
            headers: BTreeMap::new(),
            errors: None,
            upstream: None,
            proxy: None,
            rule: None,
            metrics: BTreeMap::new(),
            log: Vec::new(),
        }
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self::from(Decision::Allow)
    }
}

impl Decision {
    /// Reads `allow` or a reason code.
    ///
    /// # Errors
    /// With the nearest codes, if it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "allow" {
            return Ok(Self::Allow);
        }
        if let Some(reason) = Reason::ALL.iter().find(|r| r.code() == text) {
            return Ok(Self::Refuse(*reason));
        }
        let codes: Vec<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        Err(format!("`{text}` is neither `allow` nor a reason; the reasons are {}", codes.join(", ")))
    }

    /// `allow`, or the reason code.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse(reason) => reason.code(),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HeaderMatchMap {
    /// `true`: there at least once.
    present: Option<bool>,
    /// The whole value matches this regular expression.
    matches: Option<String>,
    /// The value has this text in it.
    contains: Option<String>,
}

impl<'de> Deserialize<'de> for HeaderMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Match;
        impl<'de> Visitor<'de> for Match {
            type Value = HeaderMatch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, a list of values, {present: true}, {matches} or {contains}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HeaderMatch, E> {
                Ok(HeaderMatch::Equals(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<HeaderMatch, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<HeaderMatch, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<HeaderMatch, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                if values.is_empty() {
                    return Err(serde::de::Error::custom("an empty list says nothing; null means absent"));
                }
                Ok(HeaderMatch::All(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeaderMatch, A::Error> {
                let map = HeaderMatchMap::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                match (map.present, map.matches, map.contains) {
                    (Some(true), None, None) => Ok(HeaderMatch::Present),
                    (None, Some(pattern), None) => regex_lite::Regex::new(&pattern)
                        .map(|_| HeaderMatch::Matches(pattern))
                        .map_err(serde::de::Error::custom),
                    (None, None, Some(text)) if text.is_empty() => Err(serde::de::Error::custom(
                        "`contains` has an empty text, which stands in everything: write more of it, or `present: true`",
                    )),
                    (None, None, Some(text)) => Ok(HeaderMatch::Contains(text)),
                    _ => Err(serde::de::Error::custom(
                        "exactly one of present: true, matches and contains is needed; null means absent",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Match)
    }
}

impl JsonSchema for HeaderMatch {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HeaderMatch".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let map = generator.subschema_for::<HeaderMatchMap>();
        schemars::json_schema!({"anyOf": [
            {"type": ["string", "integer"]}, {"type": "array", "items": {"type": "string"}, "minItems": 1}, map,
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Expect, String> {
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn short_and_long_forms() {
        assert_eq!(read("allow").unwrap(), Expect::default());
        assert_eq!(read("token-expired").unwrap().decision, Decision::Refuse(Reason::TokenExpired));
        let long =
            read("{decision: allow, headers: {server: null, x: {matches: '^a$'}, vary: [a, b]}}").unwrap();
        assert_eq!(long.headers.get("server"), Some(&None));
        assert_eq!(long.headers.get("x"), Some(&Some(HeaderMatch::Matches("^a$".into()))));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for yaml in [
            "{decision: token-missing, upstream: {path: /}}",
            "{decision: allow, errors: [/a]}",
            "{headers: {x: {present: false}}}",
            "{headers: {x: {matches: '('}}}",
            "denied",
            "{decision: token-missing, proxy: {status: [], because: x}}",
            "{decision: token-missing, proxy: {status: [200], because: x}}",
        ] {
            assert!(read(yaml).is_err(), "{yaml}");
        }
        assert!(read("{decision: token-missing, proxy: {status: [400, 0], because: x}}").is_ok());
    }

    #[test]
    fn a_text_that_stands_in_everything_is_refused() {
        for yaml in [
            "{log: ['']}",
            "{log: [a, ' ']}",
            "{decision: token-missing, rule: ''}",
            "{headers: {x: {contains: ''}}}",
            "{upstream: {headers: {x: {contains: ''}}}}",
            "{headers: {x: []}}",
        ] {
            assert!(read(yaml).unwrap_err().contains("empty"), "{yaml}");
        }
    }

    #[test]
    fn a_metric_that_the_filter_does_not_have_is_refused() {
        let wrong =
            read("{decision: limit-exceeded, metrics: {bartizan.refused.limit-exeeded: 0}}").unwrap_err();
        assert!(wrong.contains("did you mean `bartizan.refused.limit-exceeded`?"), "{wrong}");
        assert!(read("{metrics: {bartizan.allowed: 0}}").is_err());
        assert!(read("{metrics: {bartizan.refused.limit-exceeded: 0}}").is_ok());
        // It is looked at again when the row has given its value.
        assert!(read("{metrics: {'bartizan.refused.${r}': 0}}").is_ok());
    }
}
