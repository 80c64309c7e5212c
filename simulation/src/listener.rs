//! What the use cases say of themselves: part of the trace, and a violation if it is our own fault.

use crate::{laws::Law, world::World};
use std::{
    fmt::{Debug, Write as _},
    sync::Arc,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Listens to warnings and errors.
pub struct Listener(pub Arc<World>);

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ =
            if field.name() == "message" { write!(self.0, "{value:?} ") } else { write!(self.0, "{field}={value:?} ") };
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.0.kernel.note(|| format!("log: {}", text.0));
        if text.0.contains("contradicts itself") {
            self.0.violated(Law::NoFault, text.0);
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
