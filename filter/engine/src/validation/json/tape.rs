//! A parsed document: one flat list of values in document order.
//!
//! Each value knows where its successor begins, so that a reader steps over a whole subtree at once. Text
//! stays where it is in the body; only strings with escapes are copied. Nothing is allocated per value.

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `null`.
    Null,
    /// `true`.
    True,
    /// `false`.
    False,
    /// A number; its text is the number as written.
    Number,
    /// A string, or the name of a member; its text is decoded.
    String,
    /// An array; the elements follow.
    Array,
    /// An object; names and values follow in turn.
    Object,
}

/// One value of the tape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// What it is.
    pub(crate) kind: Kind,
    /// Whether the text is in the decoded buffer and not in the source.
    pub(crate) copied: bool,
    /// Where the text starts.
    pub(crate) start: u32,
    /// Where the text ends.
    pub(crate) end: u32,
    /// Index of the first entry after this value and all it contains; [`OPEN`] while it is being read.
    pub(crate) next: u32,
    /// Elements of an array, members of an object, hash of a string.
    pub(crate) extra: u32,
}

/// [`Entry::next`] of a container whose end was not reached yet.
pub(crate) const OPEN: u32 = u32::MAX;

/// A parsed document.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    pub(super) source: &'a str,
    pub(super) decoded: String,
    pub(super) entries: Vec<Entry>,
}

/// A parsed document that owns its text: a constant of a schema.
#[derive(Debug)]
pub(crate) struct Owned {
    source: String,
    decoded: String,
    entries: Vec<Entry>,
}

/// A parsed document, as readers see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'t> {
    source: &'t str,
    decoded: &'t str,
    entries: &'t [Entry],
}

const NOTHING: Entry = Entry { kind: Kind::Null, copied: false, start: 0, end: 0, next: OPEN, extra: 0 };

impl<'a> Tape<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, decoded: String::new(), entries: Vec::with_capacity(source.len() / 12 + 8) }
    }

    /// What readers work with.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        View { source: self.source, decoded: &self.decoded, entries: &self.entries }
    }

    /// A copy that owns its text.
    pub(crate) fn into_owned(self) -> Owned {
        Owned { source: self.source.to_owned(), decoded: self.decoded, entries: self.entries }
    }
}

impl Owned {
    /// What readers work with.
    pub(crate) fn view(&self) -> View<'_> {
        View { source: &self.source, decoded: &self.decoded, entries: &self.entries }
    }
}

impl<'t> View<'t> {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry at an index. Past the end there is a `null`, so that no reader can trap.
    #[inline]
    pub(crate) fn entry(self, index: u32) -> Entry {
        self.entries.get(index as usize).copied().unwrap_or(NOTHING)
    }

    /// The text of a string, a member name or a number.
    #[inline]
    pub(crate) fn text(self, entry: Entry) -> &'t str {
        let from = if entry.copied { self.decoded } else { self.source };
        from.get(entry.start as usize..entry.end as usize).unwrap_or("")
    }

    /// Indices of the elements of an array.
    pub(crate) fn elements(self, array: u32) -> impl Iterator<Item = u32> + use<'t> {
        let count = self.entry(array).extra;
        let mut at = array.saturating_add(1);
        (0..count).map(move |_| {
            let this = at;
            at = self.entry(at).next;
            this
        })
    }

    /// Indices of the names and of the values of the members of an object.
    pub(crate) fn members(self, object: u32) -> impl Iterator<Item = (u32, u32)> + use<'t> {
        let count = self.entry(object).extra;
        let mut at = object.saturating_add(1);
        (0..count).map(move |_| {
            let name = at;
            let value = at.saturating_add(1);
            at = self.entry(value).next;
            (name, value)
        })
    }

    /// The JSON pointer (RFC 6901) of a value, for people. Names are the client's: what gets longer than
    /// 256 bytes ends at the last place that fits.
    pub(crate) fn pointer(self, target: u32) -> String {
        let mut pointer = String::new();
        let mut at = 0;
        while at < target {
            let container = self.entry(at);
            let step = match container.kind {
                Kind::Array => self
                    .children(at, 1)
                    .enumerate()
                    .find(|(_, child)| self.holds(*child, target))
                    .map(|(position, child)| (position.to_string(), child)),
                Kind::Object => self
                    .children(at, 2)
                    .map(|name| (name, name.saturating_add(1)))
                    .find(|(name, value)| *name == target || self.holds(*value, target))
                    .map(|(name, value)| {
                        let escaped = self.text(self.entry(name)).replace('~', "~0").replace('/', "~1");
                        // The name itself is the target when it is the name that is wrong.
                        (escaped, if name == target { target } else { value })
                    }),
                _ => None,
            };
            let Some((token, child)) = step else { break };
            if pointer.len() + token.len() >= 256 {
                break;
            }
            pointer.push('/');
            pointer.push_str(&token);
            at = child;
        }
        pointer
    }

    fn holds(self, value: u32, target: u32) -> bool {
        value <= target && target < self.entry(value).next
    }

    /// Like `elements`, but also inside a container that is still open: as far as it was read.
    fn children(self, container: u32, stride: u32) -> impl Iterator<Item = u32> + use<'t> {
        let end = self.entry(container).next.min(u32::try_from(self.entries.len()).unwrap_or(OPEN));
        let mut at = container.saturating_add(1);
        std::iter::from_fn(move || {
            let this = at;
            at = self.entry(this.saturating_add(stride - 1)).next;
            (this < end).then_some(this)
        })
    }
}
