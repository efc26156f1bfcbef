//! Is it the same decision? Sixty-four bits of all that a decision says, the same on every machine.

use crate::control::Decision;
use postcard::ser_flavors::Flavor;

/// FNV-1a, 64 bits (Fowler, Noll and Vo): the start, and what each byte multiplies with.
const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01B3;

/// The digest of a decision: setpoints with reasons, orders, rows, and what people are shown of cars but their names.
pub(super) fn digest(decision: &Decision) -> u64 {
    // Zero stands for what cannot be written down, and nothing in a decision is of that kind.
    postcard::serialize_with_flavor(decision, Fnv(OFFSET)).unwrap_or(0)
}

/// Takes in what would be written, byte by byte.
struct Fnv(u64);

impl Flavor for Fnv {
    type Output = u64;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<u64> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Reason, Setpoint};
    use crate::units::Amps;

    #[test]
    fn the_hash_is_the_published_one() {
        // From the authors' list of test vectors.
        let of =
            |text: &str| text.bytes().fold(Fnv(OFFSET), |mut fnv, byte| fnv.try_push(byte).map(|()| fnv).unwrap()).0;
        assert_eq!((of(""), of("a"), of("foobar")), (OFFSET, 0xAF63_DC4C_8601_EC8C, 0x8594_4171_F739_67E8));
    }

    #[test]
    fn a_milliampere_or_another_reason_is_another_decision() {
        let told = |milli, because| Decision {
            setpoints: vec![Setpoint { amps: Amps::milli(milli), because }],
            ..Decision::default()
        };
        let digests =
            [told(6_000, Reason::Full), told(6_001, Reason::Full), told(6_000, Reason::Hold)].map(|one| digest(&one));
        assert!(digests[0] != digests[1] && digests[0] != digests[2]);
        assert_eq!(digest(&told(6_000, Reason::Full)), digests[0]);
    }
}
