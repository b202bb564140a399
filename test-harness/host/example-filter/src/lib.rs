//! A small filter with the SDK alone: it asks a service who owns an API key, and tells upstream.
#![expect(missing_docs, reason = "the macro of the SDK makes the entry point, which has no documentation")]

use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }
}

struct Stream;

impl Stream {
    fn refuse(&self, status: u32, why: &str) -> Action {
        self.send_http_response(status, vec![], Some(why.as_bytes()));
        Action::Pause
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _token: u32, _headers: usize, body: usize, _trailers: usize) {
        let status = self.get_http_call_response_header(":status");
        let owner = self.get_http_call_response_body(0, body).and_then(|body| String::from_utf8(body).ok());
        match (status.as_deref(), owner) {
            (Some("200"), Some(owner)) => {
                self.set_http_request_header("x-owner", Some(&owner));
                self.resume_http_request();
            }
            (Some("404"), _) => drop(self.refuse(403, "this key is nobody's")),
            _ => drop(self.refuse(503, "keys cannot be looked up now")),
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let Some(key) = self.get_http_request_header("x-api-key") else {
            return self.refuse(401, "no x-api-key");
        };
        let call = [(":method", "GET"), (":path", "/owner"), (":authority", "keys"), ("x-api-key", &key)];
        match self.dispatch_http_call("keys", call.to_vec(), None, vec![], Duration::from_millis(500)) {
            Ok(_token) => Action::Pause,
            Err(_status) => self.refuse(503, "keys cannot be looked up now"),
        }
    }
}
