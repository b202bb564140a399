//! What a module sees of a stream or of an answer, and may change: header maps and buffers.

use super::state::State;
use crate::Status;
use crate::exchange::Side;
use crate::headers::HeaderMap;

impl State {
    /// A header map to read.
    pub(crate) fn map(&self, map: u32) -> Option<&HeaderMap> {
        match map {
            4 => return self.delivered()?.initial_metadata.as_ref(),
            5 => return self.delivered()?.trailing_metadata.as_ref(),
            6 => return self.delivered()?.http.as_ref().map(|(headers, ..)| headers),
            7 => return self.delivered()?.http.as_ref()?.2.as_ref(),
            _ => {}
        }
        let exchange = self.exchange(self.context())?;
        if map == 2 && exchange.logging {
            return exchange.logged_response();
        }
        let (request, response) = (&exchange.request, &exchange.response);
        let (map, shown) = match map {
            0 => (&request.headers, request.shows_headers || exchange.logging),
            // The access log has no request trailers.
            1 => (&request.trailers, request.shows_trailers && !exchange.logging),
            2 => (&response.headers, response.shows_headers),
            3 => (&response.trailers, response.shows_trailers || exchange.logging),
            _ => return None,
        };
        map.as_ref().filter(|_| shown)
    }

    /// A header map to change. What came of a callout can only be read.
    pub(crate) fn map_mut(&mut self, map: u32) -> Option<&mut HeaderMap> {
        let context = self.context();
        let exchange = self.exchange_mut(context)?;
        match map {
            1 => exchange.add_trailers(Side::Request),
            3 => exchange.add_trailers(Side::Response),
            _ => {}
        }
        let (request, response) = (&mut exchange.request, &mut exchange.response);
        let (map, shown) = match map {
            0 => (&mut request.headers, request.shows_headers),
            1 => (&mut request.trailers, request.shows_trailers),
            2 => (&mut response.headers, response.shows_headers),
            3 => (&mut response.trailers, response.shows_trailers),
            _ => return None,
        };
        map.as_mut().filter(|_| shown)
    }

    /// The first value of a header, with the statuses of `getHeaderMapValue`.
    pub(crate) fn header(&self, map: u32, name: &[u8]) -> Result<Vec<u8>, Status> {
        let Some(map) = self.map(map) else {
            let logging = self.exchange(self.context()).is_some_and(|exchange| exchange.logging);
            return Err(if logging { Status::NotFound } else { Status::BadArgument });
        };
        map.get(name).map(<[u8]>::to_vec).ok_or(Status::NotFound)
    }

    /// A buffer to read. Bodies that are not there are empty, as in Envoy; other absent buffers are `NotFound`.
    pub(crate) fn buffer(&self, buffer: u32) -> Result<&[u8], Status> {
        let exchange = self.exchange(self.context());
        match buffer {
            0 => Ok(exchange.map(|exchange| exchange.request.body()).unwrap_or_default()),
            1 => Ok(exchange.map(|exchange| exchange.response.body()).unwrap_or_default()),
            // TCP connections and call data: there are none, which Envoy shows as empty.
            2 | 3 | 8 => Ok(&[]),
            4 => {
                let http = self.delivered().and_then(|delivered| delivered.http.as_ref());
                http.map(|(_, body, _)| body.as_slice()).ok_or(Status::NotFound)
            }
            5 => Ok(self.delivered().and_then(|delivered| delivered.message.as_deref()).unwrap_or_default()),
            6 => Ok(&self.env.settings.vm_configuration),
            7 => self.configuration.as_deref().ok_or(Status::NotFound),
            _ => Err(Status::BadArgument),
        }
    }

    /// A buffer to change: only bodies can be.
    pub(crate) fn buffer_mut(&mut self, buffer: u32) -> Option<&mut Vec<u8>> {
        let context = self.context();
        let exchange = self.exchange_mut(context)?;
        match buffer {
            0 => exchange.request.body_mut(),
            1 => exchange.response.body_mut(),
            _ => None,
        }
    }
}
