//! What is fetched: feeds, each once.

use bartizan_engine::feeds::plan::{
    ContentKind, DiscoveryPlan, FeedPlan, FromPlan, OriginPlan, PlacePlan, Url,
};
use bartizan_spec::authentication::{Discovery, Jwt, Remote};
use bartizan_spec::text::WebUri;
use bartizan_spec::units::{Duration, Size};

use crate::diagnostic::Report;
use crate::yaml::Cursor;

/// The longest time between two good answers.
const MAX_REFRESH_MS: u64 = 86_400_000;

/// The largest key set that the filter reads.
const MAX_KEYS_BYTES: u64 = 512 * 1024;

/// The largest list of revocations.
const MAX_LIST_BYTES: u64 = 8 * 1024 * 1024;

/// The feeds of a bundle.
#[derive(Default)]
pub(super) struct Feeds {
    plans: Vec<FeedPlan>,
}

/// How often, how long, how much.
struct Bounds {
    refresh: Duration,
    min_refresh: Duration,
    timeout: Duration,
    max_size: Size,
}

impl Feeds {
    /// The feeds, for the plan.
    pub(super) fn into_plans(self) -> Vec<FeedPlan> {
        self.plans
    }

    /// The number of the feed that has a place's content. `name` is for logs.
    pub(super) fn place(
        &mut self,
        remote: &Remote,
        kind: ContentKind,
        name: &str,
        at: Cursor<'_>,
        report: &mut Report,
    ) -> usize {
        let Remote { cluster, uri, refresh, min_refresh, timeout, max_size } = remote;
        let url = url(uri, at.get("uri"), report);
        let place =
            PlacePlan { cluster: cluster.as_str().to_owned(), authority: url.authority, path: url.path };
        let bounds =
            Bounds { refresh: *refresh, min_refresh: *min_refresh, timeout: *timeout, max_size: *max_size };
        self.add(FromPlan::Place(place), &bounds, kind, name, at, report)
    }

    /// The number of the feed that has the keys of an issuer that is discovered.
    pub(super) fn discovered(
        &mut self,
        discovery: &Discovery,
        jwt: &Jwt,
        issuer: Cursor<'_>,
        at: Cursor<'_>,
        report: &mut Report,
    ) -> usize {
        let Discovery { cluster, keys_at, refresh, min_refresh, timeout, max_size } = discovery;
        let own = Url::read(jwt.issuer.as_str()).filter(|url| !url.path.contains('?'));
        if own.is_none() {
            report.error(
                "issuer-not-a-url",
                issuer.span(),
                format!("`{}` is no URL, so nothing can be discovered there", jwt.issuer),
                "write the issuer's `https` URL, or where its keys are: `keys: {remote: {cluster: idp, uri: ...}}`",
            );
        }
        let mut known: Vec<String> = own.iter().map(Url::origin).collect();
        let mut origins = Vec::new();
        for (index, other) in keys_at.iter().enumerate() {
            let here = at.get("keys_at").item(index).get("origin");
            let url = url(&other.origin, here, report);
            let here = here.span();
            if url.path != "/" {
                let message = format!("`{}` is more than an origin", other.origin);
                let help = format!("write only scheme, host and port: `{}`", url.origin());
                report.error("not-an-origin", here, message, help);
            } else if known.contains(&url.origin()) {
                report.error("listed-twice", here, "this origin is allowed already", "remove it");
            }
            known.push(url.origin());
            origins.push(OriginPlan { origin: url.origin(), cluster: other.cluster.as_str().to_owned() });
        }
        let plan = DiscoveryPlan {
            cluster: cluster.as_str().to_owned(),
            issuer: jwt.issuer.as_str().to_owned(),
            keys_at: origins,
        };
        let bounds =
            Bounds { refresh: *refresh, min_refresh: *min_refresh, timeout: *timeout, max_size: *max_size };
        self.add(FromPlan::Discovery(plan), &bounds, ContentKind::Keys, jwt.name.as_str(), at, report)
    }

    fn add(
        &mut self,
        from: FromPlan,
        bounds: &Bounds,
        kind: ContentKind,
        name: &str,
        at: Cursor<'_>,
        report: &mut Report,
    ) -> usize {
        check(bounds, kind, at, report);
        let feed = FeedPlan {
            name: name.to_owned(),
            at: at.at(),
            kind,
            from,
            refresh_ms: bounds.refresh.millis(),
            min_refresh_ms: bounds.min_refresh.millis(),
            timeout_ms: bounds.timeout.millis(),
            max_bytes: bounds.max_size.bytes(),
        };
        // Two issuers may share a key set; whatever else they say of it must then be the same.
        let same = |known: &FeedPlan| {
            *known == FeedPlan { name: known.name.clone(), at: known.at.clone(), ..feed.clone() }
        };
        self.plans.iter().position(same).unwrap_or_else(|| {
            self.plans.push(feed);
            self.plans.len() - 1
        })
    }
}

/// A URL as the filter reads it, or any.
fn url(written: &WebUri, at: Cursor<'_>, report: &mut Report) -> Url {
    Url::read(written.as_str()).unwrap_or_else(|| {
        report.error(
            "bad-uri",
            at.span(),
            format!("`{written}` is not a place that the proxy can ask"),
            "write scheme, host, perhaps a port, and path: `https://login.example.com/keys`",
        );
        Url { scheme: "https", authority: "a".to_owned(), path: "/".to_owned() }
    })
}

fn check(bounds: &Bounds, kind: ContentKind, at: Cursor<'_>, report: &mut Report) {
    let within =
        |field: &str, value: u64, least: u64, most: u64, written: String, help: &str, report: &mut Report| {
            if !(least..=most).contains(&value) {
                let message = format!("`{field}` is `{written}`");
                report.error("out-of-range", at.get(field).span(), message, help.to_owned());
            }
        };
    let Bounds { refresh, min_refresh, timeout, max_size } = bounds;
    let text = ToString::to_string;
    let help = "give `1s` to `1d`";
    within("refresh", refresh.millis(), 1_000, MAX_REFRESH_MS, text(refresh), help, report);
    let help = "give at least `1s`, and no more than `refresh`";
    within("min_refresh", min_refresh.millis(), 1_000, refresh.millis(), text(min_refresh), help, report);
    let help = "give `100ms` to `30s`";
    within("timeout", timeout.millis(), 100, 30_000, text(timeout), help, report);
    let (most, help) = match kind {
        ContentKind::Keys => (MAX_KEYS_BYTES, "give `1B` to `512KiB`"),
        ContentKind::Revocations => (MAX_LIST_BYTES, "give `1B` to `8MiB`"),
    };
    within("max_size", max_size.bytes(), 1, most, max_size.to_string(), help, report);
}
