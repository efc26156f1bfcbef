//! What happens at the demo's site? One story that ends as it began, so that it can be told again and again.

use super::peer::{SharedPlant, Task};
use super::site::{GUEST, KARI, LEFT, PER, RIGHT, YARD};
use crate::sim::{Action, Car, Voice};
use crate::site::{EvseId, MeterId, Site};
use crate::time::{Duration, Moment};
use crate::units::{Amps, PerPhase};
use tokio::sync::watch;

/// How long the story is told to be in [`scenes`].
pub const LENGTH: Duration = Duration::from_secs(120);

/// One turn of the story.
#[derive(Debug, Clone)]
pub struct Scene {
    /// When, from the beginning.
    pub at: Duration,
    /// What people are told.
    pub words: &'static str,
    /// What happens.
    pub actions: Vec<Action>,
}

/// What is there before the story begins: a house that takes a little, and sun.
pub fn beginning() -> Vec<Action> {
    vec![load([3, 4, 3]), sun(4_600, 0)]
}

/// The story.
pub fn scenes() -> Vec<Scene> {
    let scene = |at, words, actions| Scene { at: Duration::from_secs(at), words, actions };
    vec![
        scene(0, "A sunny morning: 4.6 kW from the roof, and the house takes little.", vec![]),
        scene(4, "A guest plugs in on the right.", vec![arrive(RIGHT, 3, GUEST)]),
        scene(12, "Per parks in the yard. His car takes one phase, L2.", vec![arrive(YARD, 1, PER)]),
        scene(31, "The oven goes on: 9 A more on L2. The guest makes room at once.", vec![load([0, 9, 0])]),
        scene(41, "A cloud: the roof falls from 4.6 to 0.5 kW, and there is less for the cars.", vec![sun(500, 6)]),
        scene(50, "Kari comes home and plugs in on the left. Per and the guest yield.", vec![arrive(LEFT, 3, KARI)]),
        scene(60, "The oven is off. What it took goes to Kari first: she owns the place.", vec![load([0, -9, 0])]),
        scene(70, "The sun is back. Kari has all that she can take, so Per gets more too.", vec![sun(4_600, 6)]),
        scene(
            91,
            "The grid meter falls silent. After five seconds nobody knows what the house takes: all cars to 6 A.",
            vec![Action::Voice(MeterId(0), Voice::Silent)],
        ),
        scene(
            103,
            "The meter answers again. Five good samples, and the cars rise.",
            vec![Action::Voice(MeterId(0), Voice::Clear)],
        ),
        scene(
            115,
            "Everybody leaves. The story begins anew.",
            vec![Action::Leave(LEFT), Action::Leave(RIGHT), Action::Leave(YARD)],
        ),
    ]
}

/// Tells the story again and again, each time in `period`, with its line of the moment in `told`.
pub fn tell(plant: &SharedPlant, period: Duration, told: watch::Sender<Line>) -> Task {
    let plant = plant.clone();
    Task::spawn(async move {
        plant.with(|plant| beginning().iter().for_each(|action| plant.act(action)));
        let mut begins = plant.clock().now();
        loop {
            for scene in scenes() {
                let at = begins + scene.at.mul_f64(period.as_secs_f64() / LENGTH.as_secs_f64());
                wait_until(&plant, at).await;
                plant.with(|plant| scene.actions.iter().for_each(|action| plant.act(action)));
                told.send_replace(Line { since: at, words: scene.words });
            }
            begins = begins + period;
            wait_until(&plant, begins).await;
        }
    })
}

/// The story's line of the moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// Since when.
    pub since: Moment,
    /// What people are told.
    pub words: &'static str,
}

async fn wait_until(plant: &SharedPlant, at: Moment) {
    tokio::time::sleep(at.since(plant.clock().now())).await;
}

fn load(amps: [i32; 3]) -> Action {
    Action::Load { circuit: Site::ROOT, amps: PerPhase(amps.map(Amps::whole)), over: Duration::ZERO }
}

fn sun(watts: i32, over: u64) -> Action {
    Action::Sun { watts, over: Duration::from_secs(over) }
}

fn arrive(evse: EvseId, phases: usize, card: &str) -> Action {
    let (lag, start) = (Duration::from_secs(1), Duration::from_secs(3));
    Action::Arrive(evse, Car { phases, lag, start, token: Some(card.to_owned()), ..Car::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::site;
    use crate::policy::{Class, Policy, Principal, Token};
    use crate::sim::{Plant, Script, run};

    #[test]
    fn the_story_ends_as_it_began() {
        let mut plant = Plant::new(&site::truth().unwrap(), &Script::default());
        beginning().iter().for_each(|action| plant.act(action));
        plant.advance(Moment::from_millis(1_000));
        let before = (plant.load(Site::ROOT), plant.sun());
        for scene in scenes() {
            plant.advance(Moment::from_millis(1_000) + scene.at);
            scene.actions.iter().for_each(|action| plant.act(action));
        }
        plant.advance(Moment::from_millis(1_000) + LENGTH);
        assert_eq!((plant.load(Site::ROOT), plant.sun()), before);
        assert_eq!(plant.meter(MeterId(0)).voice, Voice::Clear);
    }

    #[test]
    fn scenes_come_in_order_and_leave_time_to_be_seen() {
        let scenes = scenes();
        assert!(scenes.windows(2).all(|pair| pair[1].at >= pair[0].at + Duration::from_secs(4)));
        assert!(scenes.last().unwrap().at + Duration::from_secs(4) < LENGTH);
    }

    /// Owner, member and guest, as in the demo's policy.
    fn policy() -> Policy {
        let people = [("owner", 6, 4, KARI), ("member", 3, 2, PER), ("guest", -3, 1, GUEST)];
        let mut policy = Policy::open(3);
        policy.classes.clear();
        for (index, (id, priority, weight, card)) in people.into_iter().enumerate() {
            policy.classes.push(Class { id: id.into(), priority, weight, ceiling: None, new_sessions: true });
            policy.principals.push(Principal {
                id: id.into(),
                alias: None,
                class: index,
                evses: None,
                valid_until: None,
            });
            policy.tokens.insert(card.into(), Token::of(index));
        }
        policy
    }

    /// What each is told at these seconds of the second telling: left (Kari), right (the guest), yard (Per).
    fn told_at(seconds: &[u64]) -> Vec<[Amps; 3]> {
        let mut actions: Vec<(Moment, Action)> =
            beginning().into_iter().map(|action| (Moment::START, action)).collect();
        for telling in 0..2 {
            for scene in scenes() {
                let at = Moment::START + LENGTH * telling + scene.at;
                actions.extend(scene.actions.into_iter().map(|action| (at, action)));
            }
        }
        let wanted: Vec<Moment> = seconds.iter().map(|at| Moment::START + LENGTH + Duration::from_secs(*at)).collect();
        let mut told = Vec::new();
        run(&site::tests::compiled(), &policy(), &Script { actions, ..Script::default() }, LENGTH * 2, |frame| {
            if wanted.contains(&frame.plant.now()) {
                told.push([LEFT, RIGHT, YARD].map(|evse| frame.decision.setpoints[evse.0].amps));
            }
        });
        told
    }

    #[test]
    fn the_words_are_true() {
        let told = told_at(&[30, 40, 49, 59, 69, 90, 102, 114]);
        let [before, oven, cloud, kari, off, sun, silent, again] = told.try_into().unwrap();
        let most = Amps::whole(16);
        assert_eq!(before[1..], [most, most], "there is room for two");
        assert!(oven[1] < before[1] && oven[2] == most, "the guest makes room, the member keeps his: {oven:?}");
        assert!(cloud[2] < oven[2], "{cloud:?}");
        assert!(kari[0].is_positive() && kari[2] < cloud[2], "{kari:?}");
        assert!(off[0] > kari[0] && off[1] == Amps::PILOT_LEAST, "{off:?}");
        assert!(sun[0] == most && sun[2] > off[2], "{sun:?}");
        assert_eq!(silent, [Amps::PILOT_LEAST; 3]);
        assert!(again[0] > Amps::PILOT_LEAST, "{again:?}");
    }
}
