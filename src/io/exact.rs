//! Numbers that may be infinite or NaN, in JSON, which has none of these.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that comes back with the bits that it had: its bits in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0.to_bits()))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bits;
        impl Visitor<'_> for Bits {
            type Value = Exact;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bits of a number as 16 hexadecimal digits")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Exact, E> {
                let bits = u64::from_str_radix(text, 16).map_err(E::custom)?;
                Ok(Exact(f64::from_bits(bits)))
            }
        }
        deserializer.deserialize_str(Bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        for value in [0.1, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE] {
            let text = serde_json::to_string(&Exact(value)).unwrap();
            let back: Exact = serde_json::from_str(&text).unwrap();
            assert_eq!(back.0.to_bits(), value.to_bits());
        }
        assert!(serde_json::from_str::<Exact>("\"x\"").is_err());
        assert!(serde_json::from_str::<Exact>("1.0").is_err());
    }
}
