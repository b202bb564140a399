//! What is changed on a request that may go upstream.

use super::Engine;
use crate::authentication::{Identity, Known, TokenRemoval};
use crate::headers::Edit;
use crate::intake::request::Request;

impl Engine {
    /// What upstream gets to see otherwise than it was sent.
    pub(super) fn edit(
        &self,
        request: &Request<'_>,
        new_path: Option<String>,
        new_authority: Option<String>,
        known: Option<&Known>,
        edits: &mut Vec<Edit>,
    ) {
        let headers = request.headers();
        // A removal costs a call into the proxy: it is left out where there is nothing to remove.
        edits.extend(
            self.headers
                .request()
                .iter()
                .filter(|edit| match edit {
                    Edit::Remove(name) => headers.get(name).is_some(),
                    Edit::Set(..) | Edit::Add(..) => true,
                })
                .cloned(),
        );
        // Almost every name is plain, and then it is only itself.
        if request.has_odd_names() || self.aliases.any_odd() {
            let aliases = headers.iter().filter(|(name, _)| self.aliases.hold(name));
            edits.extend(
                aliases.filter_map(|(name, _)| Some(Edit::Remove(std::str::from_utf8(name).ok()?.into()))),
            );
        }
        if let Some(authority) = new_authority {
            edits.push(Edit::Set(":authority".into(), authority.into()));
        }
        let mut path = new_path;
        let mut removals = Vec::new();
        self.authenticator.remove_credentials(request, known, &mut removals);
        for removal in removals {
            match removal {
                TokenRemoval::Header(name) => edits.push(Edit::Remove(name)),
                TokenRemoval::Cookie(rest) => edits.push(match rest.map(String::from_utf8) {
                    Some(Ok(rest)) => Edit::Set("cookie".into(), rest.into()),
                    // Intake refused values that are not UTF-8, so there are no other cookies left.
                    _ => Edit::Remove("cookie".into()),
                }),
                TokenRemoval::Query(rest) => {
                    path = Some(match rest {
                        Some(rest) => format!("{}?{rest}", request.path()),
                        None => request.path().to_owned(),
                    });
                }
            }
        }
        if let Some(path) = path {
            edits.push(Edit::Set(":path".into(), path.into()));
        }
        // Who it is speaks last, so that nothing else that was shown sets a header over what it says.
        let shown = known.into_iter().flat_map(|known| known.others.iter().map(|other| &**other));
        for (name, value) in shown.chain(known.map(|known| &*known.identity)).flat_map(Identity::forwarded) {
            edits.push(Edit::Set(name.as_str().into(), value.as_str().into()));
        }
    }
}
