//! Where are the models of a chained device? The walk from SunSpec's marker to its end, one question at a time.
//!
//! SunSpec Information Model Specification: the marker `SunS` at 40000, 50000 or 0, then models, each with its ID and
//! its length, until the ID 0xFFFF. A chain is the device's word, so it is bounded here. The maker stands in the first
//! model, the common one, and decides what a file takes for granted that the models leave open.

use super::map::{Device, Function, Layout, Map, Model, Question, Role};

/// `SunS`.
const MARKER: [u16; 2] = [0x5375, 0x6E53];
/// The ID after the last model.
const END: u16 = 0xFFFF;
/// The common model and its first point, the maker's name (model 1, `Mn`).
const COMMON: u16 = 1;
const MAKER_WORDS: u16 = 16;
/// The longest real chains (an inverter with controls, storage and several meters) have about 30 models.
const MODELS_MOST: usize = 64;

/// A model where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The model's number.
    pub id: u16,
    /// The address of its ID word.
    pub address: u16,
    /// Words after the ID and the length.
    pub length: u16,
}

/// What a walk has found; empty for fixed addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// The models, in order.
    pub models: Vec<Found>,
    /// The maker's name; empty where the device does not say.
    pub maker: String,
}

/// A map with its addresses on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// What to read.
    pub map: Map,
    /// The model that it lies in; `None` for fixed addresses.
    pub model: Option<Found>,
}

/// The walk along a chain.
#[derive(Debug, Clone)]
pub struct Walk {
    markers: Vec<u16>,
    stage: Stage,
    chain: Chain,
}

/// `Marker` (each in turn) → `Model` (each in turn) → `Maker` → `Over`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Looks for the marker at this index.
    Marker(usize),
    /// Reads ID and length at this address.
    Model(u16),
    /// Reads the maker's name at this address.
    Maker(u16),
    /// Nothing more to ask.
    Over,
}

impl Walk {
    /// From the first of these marker addresses.
    pub fn new(markers: &[u16]) -> Self {
        Walk { markers: markers.to_vec(), stage: Stage::Marker(0), chain: Chain::default() }
    }

    /// What to ask next; `None` when the walk is over.
    pub fn question(&self) -> Option<Question> {
        let (address, count) = match self.stage {
            Stage::Marker(index) => (*self.markers.get(index)?, 2),
            Stage::Model(address) => (address, 2),
            Stage::Maker(address) => (address, MAKER_WORDS),
            Stage::Over => return None,
        };
        Some(Question { function: Function::Holding, address, count })
    }

    /// The answer: as many words as were asked for, or `None` where the device refuses that address.
    pub fn hear(&mut self, words: Option<&[u16]>) {
        self.stage = match (self.stage, words) {
            (Stage::Marker(index), Some(words)) if words == MARKER => {
                self.markers.get(index).and_then(|at| at.checked_add(2)).map_or(Stage::Over, Stage::Model)
            }
            (Stage::Marker(index), _) => Stage::Marker(index + 1),
            (Stage::Model(_), Some([END, ..]) | None) => self.after_models(),
            (Stage::Model(address), Some(words)) => match *words {
                [id, length] => {
                    self.chain.models.push(Found { id, address, length });
                    let next = address.checked_add(2).and_then(|at| at.checked_add(length));
                    let next = next.filter(|_| self.chain.models.len() < MODELS_MOST);
                    next.map_or_else(|| self.after_models(), Stage::Model)
                }
                _ => Stage::Over,
            },
            (Stage::Maker(_), words) => {
                self.chain.maker = words.map(text).unwrap_or_default();
                Stage::Over
            }
            (Stage::Over, _) => Stage::Over,
        };
    }

    /// What has been found.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    fn after_models(&self) -> Stage {
        match self.chain.models.first() {
            Some(Found { id: COMMON, address, length }) if *length >= MAKER_WORDS => {
                address.checked_add(2).map_or(Stage::Over, Stage::Maker)
            }
            _ => Stage::Over,
        }
    }
}

/// Two characters a word, ended by a zero.
fn text(words: &[u16]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_be_bytes()).take_while(|byte| *byte != 0);
    bytes.map(|byte| if byte.is_ascii_graphic() { char::from(byte) } else { ' ' }).collect::<String>().trim().to_owned()
}

impl Device {
    /// The walk that has to come before [`Device::place`]; `None` where addresses are fixed.
    pub fn walk(&self) -> Option<Walk> {
        match &self.layout {
            Layout::Fixed { .. } => None,
            Layout::Chain { markers, .. } => Some(Walk::new(markers)),
        }
    }

    /// The map for this role, at its addresses on the wire.
    ///
    /// # Errors
    /// For people: there is no marker, or no model that is understood.
    pub fn place(&self, role: Role, chain: &Chain) -> Result<Placed, String> {
        let (markers, models) = match &self.layout {
            Layout::Fixed { map, .. } if map.role == role => return Ok(Placed { map: map.clone(), model: None }),
            Layout::Fixed { map, .. } => return Err(format!("\"{}\" is no {role} but a {}", self.name, map.role)),
            Layout::Chain { markers, models } => (markers, models),
        };
        if chain.models.is_empty() {
            return Err(format!("no SunSpec marker at {}", list(markers)));
        }
        let fits = |model: &&Model, at: &Found| model.ids.contains(&at.id) && model.map.role == role;
        let hit =
            chain.models.iter().find_map(|at| models.iter().find(|model| fits(model, at)).map(|model| (at, model)));
        let Some((at, model)) = hit else {
            let ids: Vec<u16> = chain.models.iter().map(|at| at.id).collect();
            return Err(format!("no {role} among its SunSpec models ({})", list(&ids)));
        };
        if !model.suits(&chain.maker) {
            let maker = &chain.maker;
            return Err(format!("\"{}\" is not for a {role} of \"{maker}\"; see `headroom probe`", self.name));
        }
        if model.map.polled_span() > u32::from(at.length) + 2 {
            return Err(format!("SunSpec model {} has {} words: too few", at.id, at.length));
        }
        match model.map.moved(at.address) {
            Some(map) => Ok(Placed { map, model: Some(*at) }),
            None => Err(format!("SunSpec model {} at {} passes the last address", at.id, at.address)),
        }
    }
}

impl Model {
    /// Is this file's reading of the model that of this maker?
    fn suits(&self, maker: &str) -> bool {
        let is_one_of = |names: &[String]| {
            names.iter().any(|name| maker.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
        };
        !is_one_of(&self.not_for) && (self.only_for.is_empty() || is_one_of(&self.only_for))
    }
}

impl Placed {
    /// Is the model still where it was found? `blocks` are the words of the map's blocks.
    pub fn still_there(&self, blocks: &[Vec<u16>]) -> bool {
        match (self.model, blocks.first().map(Vec::as_slice)) {
            (None, _) => true,
            (Some(at), Some([id, length, ..])) => (*id, *length) == (at.id, at.length),
            (Some(_), _) => false,
        }
    }
}

fn list(numbers: &[u16]) -> String {
    numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Library, Reading, decode};
    use crate::units::Phase;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A device that has these words, and refuses every other address.
    fn walk(words: &BTreeMap<u16, u16>, markers: &[u16]) -> Chain {
        let mut walk = Walk::new(markers);
        while let Some(Question { address, count, .. }) = walk.question() {
            let answer: Option<Vec<u16>> =
                (0..count).map(|index| words.get(&address.wrapping_add(index)).copied()).collect();
            walk.hear(answer.as_deref());
        }
        walk.chain().clone()
    }

    fn image(base: u16, words: &[u16]) -> BTreeMap<u16, u16> {
        (base..).zip(words.iter().copied()).collect()
    }

    fn chain(maker: &[u8; 10], meter: &[u16]) -> Vec<u16> {
        let mut words = vec![0x5375, 0x6E53, 1, 66];
        words.extend(maker.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
        words.resize(4 + 66, 0);
        words.extend(meter);
        words.extend([END, 0]);
        words
    }

    fn meter_203() -> Vec<u16> {
        let mut words = vec![0; 107];
        words[..2].copy_from_slice(&[203, 105]);
        words[2..7].copy_from_slice(&[300, 100, 120, 80, -1_i16 as u16]);
        words[8..11].copy_from_slice(&[2300, 2310, 2290]);
        words[15] = -1_i16 as u16;
        words[19..23].copy_from_slice(&[230, -277_i16 as u16, 183, 1]);
        words
    }

    #[test]
    fn models_are_found_at_each_of_the_three_markers() {
        for base in [40000, 50000, 0] {
            let chain = walk(&image(base, &chain(b"Kostal\0\0\0\0", &meter_203())), &[40000, 50000, 0]);
            assert_eq!(chain.models[0], Found { id: 1, address: base + 2, length: 66 });
            assert_eq!(chain.models[1], Found { id: 203, address: base + 70, length: 105 });
            assert_eq!((chain.models.len(), chain.maker.as_str()), (2, "Kostal"));
        }
    }

    #[test]
    fn a_meter_model_is_read_through_the_file() {
        let library = Library::load(None).unwrap();
        let device = library.find("sunspec").unwrap();
        let chain = walk(&image(40000, &chain(b"Kostal\0\0\0\0", &meter_203())), &[40000]);
        let placed = device.place(Role::Meter, &chain).unwrap();
        assert_eq!(placed.map.blocks[0].question, Question { function: Function::Holding, address: 40070, count: 23 });
        let blocks = [meter_203()[..23].to_vec(), vec![]];
        assert!(placed.still_there(&blocks));
        let reading = Reading::of(&decode(&placed.map, &blocks));
        assert_eq!(Phase::ALL.map(|phase| reading.load(phase).unwrap().round()), [10.0, -12.0, 8.0]);
        let moved = [vec![1, 66], vec![]];
        assert!(!placed.still_there(&moved) && !placed.still_there(&[]));
    }

    #[test]
    fn what_is_not_there_is_told() {
        let library = Library::load(None).unwrap();
        let device = library.find("sunspec").unwrap();
        assert!(
            device.place(Role::Meter, &Chain::default()).unwrap_err().contains("no SunSpec marker at 40000, 50000, 0")
        );
        let found = walk(&image(0, &chain(b"Kostal\0\0\0\0", &meter_203())), &[0]);
        assert!(device.place(Role::Inverter, &found).unwrap_err().contains("1, 203"));
        let at = |address, length| Chain { models: vec![Found { id: 203, address, length }], maker: String::new() };
        let short = at(2, 10);
        assert!(device.place(Role::Meter, &short).unwrap_err().contains("too few"));
        let late = at(65_530, 105);
        assert!(device.place(Role::Meter, &late).unwrap_err().contains("last address"));
        let fixed = library.find("eastron-sdm630").unwrap();
        assert!(fixed.place(Role::Inverter, &Chain::default()).unwrap_err().contains("is no inverter"));
    }

    #[test]
    fn a_meter_whose_maker_counts_the_other_way_is_not_read_as_any_other() {
        let library = Library::load(None).unwrap();
        let [any, its_own] = ["sunspec", "solaredge"].map(|name| library.find(name).unwrap());
        let found = walk(&image(40000, &chain(b"SolarEdge ", &meter_203())), &[40000]);
        assert!(any.place(Role::Meter, &found).unwrap_err().contains("not for a meter of \"SolarEdge\""));
        let placed = its_own.place(Role::Meter, &found).unwrap();
        let blocks = [meter_203()[..23].to_vec(), vec![]];
        let reading = Reading::of(&decode(&placed.map, &blocks));
        assert_eq!(Phase::ALL.map(|phase| reading.load(phase).unwrap().round()), [-10.0, 12.0, -8.0]);
        let other = walk(&image(40000, &chain(b"Kostal\0\0\0\0", &meter_203())), &[40000]);
        assert!(its_own.place(Role::Meter, &other).is_err());
    }

    #[test]
    fn an_endless_chain_ends() {
        let mut walk = Walk::new(&[40000]);
        walk.hear(Some(&MARKER));
        let mut asked = 0;
        while walk.question().is_some() && asked < 1_000 {
            asked += 1;
            walk.hear(Some(&[7, 0]));
        }
        assert_eq!(asked, MODELS_MOST);
    }

    proptest! {
        #[test]
        fn no_answers_make_the_walk_endless(answers in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..4), 80)) {
            let mut walk = Walk::new(&[40000, 50000, 0]);
            walk.hear(Some(&MARKER));
            for answer in &answers {
                walk.hear(Some(answer));
            }
            prop_assert_eq!(walk.question(), None);
            prop_assert!(walk.chain().models.len() <= MODELS_MOST);
        }
    }
}
