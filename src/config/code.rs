//! Which faults can a configuration have? Every code, stable and documented in docs/CONFIG.md: E stops, W warns.

macro_rules! codes {
    ($($name:ident = $id:literal, $about:literal;)*) => {
        $(#[doc = $about] pub const $name: &str = $id;)*

        /// Every code with its one-line explanation, in order.
        pub const CODES: &[(&str, &str)] = &[$(($id, $about)),*];
    };
}

codes! {
    SYNTAX = "E001", "The file is not TOML. Nothing else is checked until it is.";
    UNREADABLE = "E002", "A file or directory cannot be read.";
    UNKNOWN_KEY = "E003", "There is no such key or section.";
    WRONG_TYPE = "E004", "The value has the wrong type, such as text where a number belongs.";
    MISSING = "E005", "A key or section that is needed is missing.";
    OUT_OF_RANGE = "E006", "A number is out of its range, or is no number.";
    WRONG_WORD = "E007", "The value is none of the words that are allowed here.";
    WRONG_FORM = "E008", "The text does not have the form of an id, a topic, an address or a URL.";
    MISPLACED = "E009", "Two keys exclude each other, or a key does not belong beside the others.";
    DUPLICATE = "E010", "An id or a token is used twice.";
    UNKNOWN_CIRCUIT = "E011", "A meter or charger names a circuit that does not exist.";
    UNKNOWN_PARENT = "E012", "A circuit names a parent that does not exist.";
    CIRCLE = "E013", "Circuits feed each other in a circle.";
    TWO_ROOTS = "E014", "More than one circuit has no parent; only the grid connection has none.";
    ROOT_UNMETERED = "E015", "The grid connection has no meter.";
    UNMETERED = "E016", "A circuit has neither a meter nor `other_load_a`.";
    TWO_METERS = "E017", "Two meters measure one circuit.";
    PHASE_COUNT = "E018", "The number of values does not match the phases of the site.";
    ROTATION = "E019", "The phase rotation does not match the wired phases or the site.";
    CURRENTS = "E020", "The currents of a charger contradict each other.";
    DOES_NOT_FIT = "E021", "With all cars on fallback and the house at its worst, a fuse carries more than it should.";
    UNKNOWN_DEVICE = "E022", "There is no device file of this name, or it is for something else.";
    BUS = "E023", "Two devices are in each other's way on Modbus.";
    SAME_CHARGER = "E024", "Two chargers share an OCPP connector or an MQTT topic.";
    PASSWORD = "E025", "A charger's password is missing, or the connectors of one charger have different ones.";
    SECRET = "E026", "A secret is empty, or its file cannot be used.";
    SECTION_NEEDED = "E027", "A charger needs a section that the file does not have.";
    TIMES = "E028", "Two times contradict each other.";
    SAME_PORT = "E029", "Two servers listen on one port.";
    MARGIN = "E030", "The margin leaves nothing of the fuse.";
    POWER_DOES_NOT_FIT = "E031", "With all cars on fallback, the chargers alone take more than `contract_kw` or `dso_kw`.";
    TRUST = "E032", "The trust file of `[cloud]` cannot be used.";
    LATCHES = "W001", "A charger keeps its last limit for ever (`lapse = \"c\"`).";
    OPEN_OCPP = "W002", "Any machine that reaches the gateway can pose as a charger.";
    INTO_MARGIN = "W003", "With all cars on fallback and the house at its worst, the margin of a fuse is used up.";
    NO_POLICY = "W004", "No policy document will be taken.";
    PLAIN_CLOUD = "W005", "The policy cloud is reached without encryption.";
    READABLE_SECRET = "W006", "Everybody on this machine can read a secret file.";
    NOBODY = "W007", "Nobody may charge.";
    NO_EFFECT = "W008", "A key has no effect here.";
    NEVER_CHARGES = "W009", "A charger's least current never fits its circuit.";
    SHORT_PASSWORD = "W010", "A charger's password is shorter than OCPP's security whitepaper asks for.";
    MAY_TRIP = "W011", "If the gateway dies while the house goes to its worst, a breaker or fuse may trip before leases run out.";
    POWER_EXCEEDED = "W012", "With all cars on fallback and the house at its worst, more flows than is contracted.";
    POWER_TOO_LOW = "W013", "A charger's least current needs more than `contract_kw` or `dso_kw`.";
    TRIPS = "W014", "As W011, and even the slowest breaker trips: leases are too long for what flows.";
    UNEVEN = "W015", "A charger of one or two phases needs more than `unbalance_a`.";
    FREEZES_UNSEEN = "W016", "A meter tells currents alone, and a charger tells too little of what it takes: should the meter say the same for ever, nobody may find out.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, none twice");
    }
}
