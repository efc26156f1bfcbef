//! Do events and sessions reach the cloud, once each, whatever is lost on the way?
