//! Bartizan inside Envoy.
