//! Entry points of the fuzz targets, as ordinary functions so that stable tests can run them too.

use serde::de::IgnoredAny;

use crate::frame::Deframer;
use crate::limits::Limits;
use crate::tape::Tape;

/// Decodes arbitrary bytes: as one value, and as a stream of frames cut at arbitrary places.
pub fn decode(data: &[u8]) {
    let limits = Limits::DEFAULT.with_values(1 << 16).with_frame_bytes(1 << 16);
    if let Ok(tape) = Tape::scan(data, limits) {
        let _ = tape.decode::<IgnoredAny>();
        let _ = tape.decode::<Walk>();
        let _ = tape.refs().count();
    }
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let mut deframer = Deframer::new(limits);
    for piece in stream.chunks(usize::from(*cut) + 1) {
        deframer.buffer().extend_from_slice(piece);
        while let Ok(Some(_)) = deframer.frame() {
            deframer.advance();
        }
    }
}

/// Visits every part of a value by way of the dynamic shapes, and keeps nothing.
struct Walk;

impl<'de> serde::Deserialize<'de> for Walk {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Walk;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("anything")
            }

            fn visit_enum<A: serde::de::EnumAccess<'de>>(self, data: A) -> Result<Walk, A::Error> {
                use serde::de::VariantAccess as _;
                let (shape, content): (u8, _) = data.variant()?;
                match shape {
                    // Containers and specials are sequences; scalars and dicts are not.
                    7..=10 | 12..=18 => content.tuple_variant(0, self),
                    11 => content.struct_variant(&[], self),
                    _ => content.newtype_variant::<IgnoredAny>().map(|_| Walk),
                }
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Walk, A::Error> {
                while seq.next_element::<Walk>()?.is_some() {}
                Ok(Walk)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Walk, A::Error> {
                while map.next_entry::<Walk, Walk>()?.is_some() {}
                Ok(Walk)
            }
        }
        deserializer.deserialize_newtype_struct(crate::token::VALUE, Visitor)
    }
}
