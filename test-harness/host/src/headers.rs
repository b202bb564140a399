//! A header map that behaves like Envoy's.
//!
//! Three things surprise people who test filters against a plain list:
//!
//! - **Inline headers.** Envoy keeps some headers once only. Adding such a header a second time appends to its
//!   value with a comma; which headers these are depends on the kind of map. All others repeat.
//! - **`host` is `:authority`** in request headers, for reading, writing and removing.
//! - **Pseudo-headers stand first**: one that is added late goes behind the last pseudo-header, not to the end.
//!
//! Source: `source/common/http/header_map_impl.cc` and `.h` in Envoy (`insertByKey`, `appendToHeader`, `setCopy`,
//! `removeExisting`, `HeaderList::insert`, the special case of the legacy host header in the static lookup table).
//! The lists of inline headers are what Envoy 1.40.0 prints when it starts ("HTTP header map info"), and joining,
//! order and `host` were compared with it.

use crate::pairs::Pairs;

/// Which of Envoy's header map types a map is; it decides which headers are inline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeaderKind {
    /// Headers of a request, and the metadata with which a gRPC call starts.
    Request,
    /// Trailers of a request: nothing is inline here.
    RequestTrailers,
    /// Headers of a response, of an HTTP callout's answer too, and the initial metadata of gRPC.
    Response,
    /// Trailers of a response, of an HTTP callout's answer too, and the trailing metadata of gRPC.
    ResponseTrailers,
}

impl HeaderKind {
    /// The inline headers of this kind of map, sorted.
    pub const fn inline_headers(self) -> &'static [&'static str] {
        match self {
            Self::Request => REQUEST,
            Self::RequestTrailers => &[],
            Self::Response => RESPONSE,
            Self::ResponseTrailers => &["grpc-message", "grpc-status"],
        }
    }

    fn is_inline(self, name: &[u8]) -> bool {
        self.inline_headers().binary_search_by(|inline| inline.as_bytes().cmp(name)).is_ok()
    }

    /// The name under which the map keeps a header.
    fn key(self, name: &[u8]) -> Vec<u8> {
        let name = name.to_ascii_lowercase();
        if self == Self::Request && name == b"host" { b":authority".to_vec() } else { name }
    }
}

/// Headers in their order, with names in lower case and values as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMap {
    kind: HeaderKind,
    entries: Pairs,
}

impl HeaderMap {
    /// An empty map.
    pub const fn new(kind: HeaderKind) -> Self {
        Self { kind, entries: Vec::new() }
    }

    /// A map with these headers, [added](Self::add) one after the other.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        kind: HeaderKind,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut map = Self::new(kind);
        for (name, value) in pairs {
            map.add(name, value);
        }
        map
    }

    /// Which kind of map this is.
    pub const fn kind(&self) -> HeaderKind {
        self.kind
    }

    /// Adds a header (`proxy_add_header_map_value`; Envoy's `addCopy`).
    ///
    /// An inline header that is there already gets the value appended after a comma. As in `appendToHeader`, an
    /// empty value appends nothing, and a value that was empty takes the new one without a comma.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (key, value) = (self.kind.key(name.as_ref()), value.as_ref());
        if self.kind.is_inline(&key)
            && let Some((_, present)) = self.entries.iter_mut().find(|(other, _)| *other == key)
        {
            if !present.is_empty() && !value.is_empty() {
                present.push(b',');
            }
            present.extend_from_slice(value);
            return;
        }
        let place = if key.starts_with(b":") {
            self.entries.iter().take_while(|(other, _)| other.starts_with(b":")).count()
        } else {
            self.entries.len()
        };
        self.entries.insert(place, (key, value.to_vec()));
    }

    /// Puts this value in the place of all there are (`proxy_replace_header_map_value`; Envoy's `setCopy`).
    ///
    /// Envoy removes and adds, so the header moves to the end; it is added if it was not there.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.remove(&name);
        self.add(name, value);
    }

    /// Removes each header of this name and says how many there were. None is no error in Envoy either.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> usize {
        let key = self.kind.key(name.as_ref());
        let before = self.entries.len();
        self.entries.retain(|(other, _)| *other != key);
        before - self.entries.len()
    }

    /// The **first** value of a header, as `proxy_get_header_map_value` gives it.
    ///
    /// `Context::getHeaderMapValue` in Envoy's `common/wasm/context.cc` reads the first entry only and calls that a
    /// potential security issue itself. With ABI 0.2.x an absent header is `NotFound`; with 0.1.0 it is an empty
    /// value and `Ok`.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// All values of a header, in their order.
    pub fn values(&self, name: impl AsRef<[u8]>) -> impl Iterator<Item = &[u8]> {
        let key = self.kind.key(name.as_ref());
        self.entries.iter().filter(move |(other, _)| *other == key).map(|(_, value)| value.as_slice())
    }

    /// All values of a header with commas between them, as properties such as `request.headers.NAME` give them
    /// (`HeaderUtility::getAllOfHeaderAsString`).
    pub fn joined(&self, name: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let values: Vec<&[u8]> = self.values(name).collect();
        (!values.is_empty()).then(|| values.join(&b','))
    }

    /// Replaces the whole map (`proxy_set_header_map_pairs`): what is not in the list is gone, pseudo-headers too.
    pub fn replace_all<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, pairs: impl IntoIterator<Item = (N, V)>) {
        *self = Self::from_pairs(self.kind, pairs);
    }

    /// The headers in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The headers in their order, to be [encoded](crate::pairs::encode_map).
    pub fn as_pairs(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.entries
    }

    /// How many headers there are: the number that header callbacks get.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The length of all names and values together (Envoy's `byteSize`): what `proxy_get_header_map_size` gives.
    pub fn byte_size(&self) -> usize {
        self.entries.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

const REQUEST: &[&str] = &[
    ":authority",
    ":method",
    ":path",
    ":protocol",
    ":scheme",
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "access-control-request-private-network",
    "authentication",
    "authorization",
    "cache-control",
    "cdn-loop",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "origin",
    "pragma",
    "proxy-connection",
    "proxy-status",
    "referer",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-is-timeout-retry",
    "x-envoy-max-retries",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-original-url",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

const RESPONSE: &[&str] = &[
    ":status",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
    "age",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "expires",
    "grpc-message",
    "grpc-status",
    "keep-alive",
    "last-modified",
    "location",
    "proxy-connection",
    "proxy-status",
    "server",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-degraded",
    "x-envoy-immediate-health-check-fail",
    "x-envoy-ratelimited",
    "x-envoy-upstream-canary",
    "x-envoy-upstream-healthchecked-cluster",
    "x-envoy-upstream-service-time",
    "x-request-id",
];

#[cfg(test)]
mod tests {
    use super::{HeaderKind, HeaderMap, REQUEST, RESPONSE};

    fn request(list: &[(&str, &str)]) -> HeaderMap {
        HeaderMap::from_pairs(HeaderKind::Request, list.iter().copied())
    }

    fn names(map: &HeaderMap) -> Vec<&str> {
        map.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn the_inline_lists_are_sorted_for_the_search() {
        assert!(REQUEST.is_sorted() && RESPONSE.is_sorted());
        for kind in [
            HeaderKind::Request,
            HeaderKind::RequestTrailers,
            HeaderKind::Response,
            HeaderKind::ResponseTrailers,
        ] {
            assert!(kind.inline_headers().iter().all(|name| kind.is_inline(name.as_bytes())));
            assert!(!kind.is_inline(b"cookie") && !kind.is_inline(b"x-api-key"));
        }
    }

    #[test]
    fn a_plain_header_repeats_and_reads_as_its_first_value() {
        let mut map = request(&[("X-Key", "a"), ("cookie", "c=1")]);
        map.add("x-kEY", "b");
        map.add("cookie", "d=2");
        assert_eq!(map.get("x-key"), Some(&b"a"[..]));
        assert_eq!(map.values("X-KEY").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(map.joined("x-key").unwrap(), b"a,b");
        assert_eq!(names(&map), ["x-key", "cookie", "x-key", "cookie"]);
        assert_eq!(map.byte_size(), 2 * (5 + 1) + 2 * (6 + 3));
    }

    #[test]
    fn an_inline_header_is_kept_once_with_commas() {
        let mut map = request(&[("authorization", "Bearer a"), ("Authorization", "Bearer b")]);
        assert_eq!((map.len(), map.get("authorization")), (1, Some(&b"Bearer a,Bearer b"[..])));
        map.add("authorization", "");
        assert_eq!(map.get("authorization"), Some(&b"Bearer a,Bearer b"[..]));
        map.set("referer", "");
        map.add("referer", "x");
        assert_eq!(map.get("referer"), Some(&b"x"[..]), "no comma behind an empty value");
    }

    #[test]
    fn what_is_inline_depends_on_the_kind_of_map() {
        let twice = |kind, name| HeaderMap::from_pairs(kind, [(name, "a"), (name, "b")]).len();
        assert_eq!(twice(HeaderKind::Request, "authorization"), 1);
        assert_eq!(twice(HeaderKind::Response, "authorization"), 2);
        assert_eq!(twice(HeaderKind::RequestTrailers, "authorization"), 2);
        assert_eq!(twice(HeaderKind::Response, "vary"), 1);
        assert_eq!(twice(HeaderKind::Request, "vary"), 2);
        assert_eq!(twice(HeaderKind::ResponseTrailers, "grpc-status"), 1);
        assert_eq!(twice(HeaderKind::RequestTrailers, "grpc-status"), 2);
        assert_eq!(twice(HeaderKind::Response, "set-cookie"), 2);
    }

    #[test]
    fn host_is_the_authority_of_requests_only() {
        let mut map = request(&[(":path", "/"), ("Host", "a.test")]);
        assert_eq!(names(&map), [":path", ":authority"]);
        assert_eq!(map.get("host"), Some(&b"a.test"[..]));
        map.add("host", "b.test");
        assert_eq!(map.get(":authority"), Some(&b"a.test,b.test"[..]));
        map.set("host", "c.test");
        assert_eq!(map.get(":authority"), Some(&b"c.test"[..]));
        assert_eq!(map.remove("host"), 1);
        assert_eq!(map.get(":authority"), None);
        let response = HeaderMap::from_pairs(HeaderKind::Response, [("host", "x")]);
        assert_eq!(names(&response), ["host"]);
    }

    #[test]
    fn a_late_pseudo_header_stands_behind_the_others_of_its_kind() {
        let mut map = request(&[(":method", "GET"), ("a", "1"), (":path", "/")]);
        assert_eq!(names(&map), [":method", ":path", "a"]);
        map.set(":method", "POST");
        assert_eq!(names(&map), [":path", ":method", "a"]);
    }

    #[test]
    fn replacing_a_header_removes_all_and_moves_it_to_the_end() {
        let mut map = request(&[("a", "1"), ("b", "2"), ("a", "3")]);
        map.set("A", "4");
        assert_eq!(names(&map), ["b", "a"]);
        map.set("new", "5");
        assert_eq!(map.get("new"), Some(&b"5"[..]));
        assert_eq!(map.remove("absent"), 0);
    }

    #[test]
    fn replacing_the_map_leaves_nothing_behind() {
        let mut map = request(&[(":path", "/"), ("a", "1")]);
        map.replace_all([("b", "2"), ("Authorization", "x"), ("authorization", "y")]);
        assert_eq!(names(&map), ["b", "authorization"]);
        assert_eq!(map.get("authorization"), Some(&b"x,y"[..]));
        map.replace_all([("", ""); 0]);
        assert!(map.is_empty());
    }

    #[test]
    fn values_are_bytes() {
        let map = HeaderMap::from_pairs(HeaderKind::Request, [(b"x".to_vec(), vec![0xff, 0x80])]);
        assert_eq!(map.get("x"), Some(&[0xff, 0x80][..]));
    }
}
