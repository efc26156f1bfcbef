//! How do messages get to the broker and back? The only file of this edge that waits.
//!
//! One connection has one client and one event loop; both go when it is lost, with all that was in flight: rumqttc would
//! lose or replay it at its own choice, and could stay stuck on a packet id for ever. What matters is published anew at
//! each connection. The event loop is polled by a task of its own, and publishing never waits: a full channel leaves the
//! rest on the board for the next turn.

use super::edge::{Edge, Message};
use crate::clock::Clock;
use crate::config::{Config, MqttConfig};
use crate::control::Order;
use crate::inbox::{Inbox, Outbox};
use crate::status::Status;
use crate::time::{Duration, Moment};
use futures_util::future::select_all;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS,
    SubscribeFilter, SubscribeReasonCode,
};
use std::future::pending;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// A broker that is silent for twice this is lost: half of the shortest lease in use is far longer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// First wait before the next attempt; it doubles up to [`BACKOFF_MOST`].
const BACKOFF_LEAST: Duration = Duration::from_millis(500);
/// Longest wait between attempts: a broker that restarts is found within a fraction of a lease.
const BACKOFF_MOST: Duration = Duration::from_secs(15);
/// A connection that stood so long was a good one: the next wait is short again.
const GOOD_AFTER: Duration = Duration::from_secs(30);
/// A connection that has taken nothing for so long while something waited is given up: well above a slow broker's pauses.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Requests on their way to the event loop: a setpoint waits behind no more than these.
const REQUESTS_MOST: usize = 32;
/// Events on their way from the event loop; when full, the socket waits.
const EVENTS_MOST: usize = 64;
/// Packets without an acknowledgement: few, since rumqttc copes badly with many.
const IN_FLIGHT_MOST: u16 = 20;
/// Largest packet in either direction, in bytes: a large site's announcement out; in, a foreign message of more than a
/// megabyte costs the connection, a smaller one is only dropped.
const PACKET_MOST: usize = 1024 * 1024;
/// Longest time that an orderly stop takes.
const FAREWELL: Duration = Duration::from_secs(1);
/// The loop looks around at least this often, for what no event announces.
const NAP_MOST: Duration = Duration::from_secs(1);

/// Starts the edge; `None` where no broker is configured. It ends, after saying `offline` to the broker, within
/// 1 s after `stop` turns true (or its sender is dropped). Must be called within a runtime.
pub fn spawn(
    config: &Config,
    clock: Clock,
    inbox: Inbox,
    outbox: &Outbox,
    status: watch::Receiver<Arc<Status>>,
    stop: watch::Receiver<bool>,
) -> Option<JoinHandle<()>> {
    let mqtt = config.mqtt.clone()?;
    let edge = Edge::new(config, &mqtt, clock.wall().timestamp_millis());
    let mut orders: Vec<_> = edge.evses().filter_map(|evse| outbox.orders_for(evse)).collect();
    // An order that was sent before we began to watch counts too.
    orders.iter_mut().for_each(watch::Receiver::mark_changed);
    let task = Task {
        mqtt,
        clock,
        inbox,
        edge,
        orders,
        status,
        stop,
        line: Line::Waiting { until: Moment::START },
        backoff: BACKOFF_LEAST,
        is_told: false,
    };
    Some(tokio::spawn(task.run()))
}

struct Task {
    mqtt: MqttConfig,
    clock: Clock,
    inbox: Inbox,
    edge: Edge,
    orders: Vec<watch::Receiver<Option<Order>>>,
    status: watch::Receiver<Arc<Status>>,
    stop: watch::Receiver<bool>,
    line: Line,
    /// The wait before the next attempt.
    backoff: Duration,
    /// Has the present outage been told?
    is_told: bool,
}

/// The line to the broker.
enum Line {
    /// Not before then.
    Waiting { until: Moment },
    /// Dialling, no ConnAck yet.
    Dialling(Connection),
    /// Taken.
    Up { connection: Connection, since: Moment, moved: Moment },
}

/// A client and the task that polls its event loop.
struct Connection {
    client: AsyncClient,
    events: mpsc::Receiver<Result<Event, ConnectionError>>,
    poller: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

enum Happening {
    Broker(Option<Result<Event, ConnectionError>>),
    Order(Option<Order>),
    Status,
    Stop,
    Time,
}

impl Task {
    async fn run(mut self) {
        loop {
            let now = self.clock.now();
            self.turn(now);
            match self.happening(now).await {
                Happening::Broker(Some(Ok(event))) => self.on_event(event),
                Happening::Broker(Some(Err(why))) => self.on_lost(&explain(&why)),
                Happening::Broker(None) => self.on_lost("the connection ended"),
                Happening::Order(Some(order)) => self.edge.order(order, self.clock.now()),
                Happening::Status => self.edge.show(self.status.borrow_and_update().clone()),
                Happening::Stop => return self.farewell().await,
                Happening::Order(None) | Happening::Time => {}
            }
        }
    }

    /// What is due now: dial, publish, report.
    fn turn(&mut self, now: Moment) {
        self.edge.tick(now);
        for word in self.edge.words() {
            self.inbox.put(word);
        }
        for command in self.edge.commands() {
            if !self.inbox.ask(command) {
                tracing::warn!(?command, "mqtt: too much is asked for at once; this is dropped");
            }
        }
        let edge = &mut self.edge;
        match &mut self.line {
            Line::Waiting { until } if now >= *until => self.line = Line::Dialling(dial(&self.mqtt, &self.edge)),
            Line::Waiting { .. } | Line::Dialling(_) => {}
            Line::Up { connection, moved, .. } => {
                if edge.offer(now, |message| {
                    let is_taken = connection.publish(message);
                    if is_taken {
                        *moved = now;
                    }
                    is_taken
                }) {
                    *moved = now;
                }
                if now.since(*moved) >= STUCK_AFTER {
                    self.on_lost("it has taken nothing for 30 s");
                }
            }
        }
    }

    async fn happening(&mut self, now: Moment) -> Happening {
        let dial_at = match self.line {
            Line::Waiting { until } => Some(until),
            Line::Dialling(_) | Line::Up { .. } => None,
        };
        let wake = [self.edge.deadline(), dial_at].into_iter().flatten().min();
        let nap = wake.map_or(NAP_MOST, |wake| wake.since(now)).min(NAP_MOST);
        let line = &mut self.line;
        tokio::select! {
            () = stopped(&mut self.stop) => Happening::Stop,
            order = newest_order(&mut self.orders) => Happening::Order(order),
            event = next_event(line) => Happening::Broker(event),
            () = changed(&mut self.status) => Happening::Status,
            () = tokio::time::sleep(nap) => Happening::Time,
        }
    }

    fn on_event(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Incoming(Packet::ConnAck(_)) => self.on_connected(now),
            Event::Incoming(Packet::Publish(message)) => {
                self.edge.hear(&message.topic, &message.payload, message.retain, now);
            }
            Event::Incoming(Packet::SubAck(ack)) if ack.return_codes.contains(&SubscribeReasonCode::Failure) => {
                tracing::warn!(
                    "MQTT broker {} refuses one of our subscriptions; chargers or Home Assistant may stay unheard: check its access list",
                    self.address()
                );
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }

    fn on_connected(&mut self, now: Moment) {
        match std::mem::replace(&mut self.line, Line::Waiting { until: now }) {
            Line::Dialling(connection) => {
                let filters = self.edge.filters().into_iter().map(|path| SubscribeFilter::new(path, QoS::AtLeastOnce));
                if connection.client.try_subscribe_many(filters).is_err() {
                    return self.on_lost("our subscriptions were not taken");
                }
                tracing::info!("MQTT broker {} connected", self.address());
                self.is_told = false;
                self.line = Line::Up { connection, since: now, moved: now };
                self.edge.connected();
            }
            line => self.line = line,
        }
    }

    fn on_lost(&mut self, why: &str) {
        let now = self.clock.now();
        if let Line::Up { since, .. } = self.line
            && now.since(since) >= GOOD_AFTER
        {
            self.backoff = BACKOFF_LEAST;
        }
        self.line = Line::Waiting { until: now + self.backoff };
        self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
        self.edge.disconnected(now);
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let address = self.address();
        if self.edge.evses().next().is_some() {
            tracing::error!(
                "MQTT broker {address}: {why}; chargers on MQTT fall back by themselves; trying again at least every 15 s"
            );
        } else {
            tracing::warn!(
                "MQTT broker {address}: {why}; the house is not shown over MQTT; trying again at least every 15 s"
            );
        }
    }

    /// Says that we leave; where that does not get through in time, our last will says it.
    async fn farewell(self) {
        let Line::Up { mut connection, .. } = self.line else { return };
        let (topic, payload) = self.edge.farewell();
        let message = Message { topic: &topic, payload, qos: QoS::AtLeastOnce, is_retained: true };
        let until_gone = async {
            while !connection.publish(message) && connection.events.recv().await.is_some() {}
            while connection.client.try_disconnect().is_err() && connection.events.recv().await.is_some() {}
            while let Some(Ok(event)) = connection.events.recv().await {
                if event == Event::Outgoing(Outgoing::Disconnect) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, until_gone).await;
    }

    fn address(&self) -> String {
        format!("{}:{}", self.mqtt.host, self.mqtt.port)
    }
}

impl Connection {
    /// Hands a message to the event loop; false where its channel is full.
    fn publish(&self, message: Message<'_>) -> bool {
        self.client.try_publish(message.topic, message.qos, message.is_retained, message.payload).is_ok()
    }
}

fn dial(mqtt: &MqttConfig, edge: &Edge) -> Connection {
    let (topic, payload) = edge.farewell();
    let mut options = MqttOptions::new(&mqtt.client_id, &mqtt.host, mqtt.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_inflight(IN_FLIGHT_MOST)
        .set_max_packet_size(PACKET_MOST, PACKET_MOST)
        .set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, true));
    if let Some(username) = &mqtt.username {
        let password = mqtt.password.as_ref().map_or("", |password| &password.0);
        options.set_credentials(username, password);
    }
    let (client, event_loop) = AsyncClient::new(options, REQUESTS_MOST);
    let (tell, events) = mpsc::channel(EVENTS_MOST);
    Connection { client, events, poller: tokio::spawn(poll(event_loop, tell)) }
}

/// Drives the connection until it is lost.
async fn poll(mut event_loop: EventLoop, tell: mpsc::Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = event_loop.poll().await;
        let is_over = event.is_err();
        if tell.send(event).await.is_err() || is_over {
            return;
        }
    }
}

async fn next_event(line: &mut Line) -> Option<Result<Event, ConnectionError>> {
    match line {
        Line::Waiting { .. } => pending().await,
        Line::Dialling(connection) | Line::Up { connection, .. } => connection.events.recv().await,
    }
}

/// The next order for any of the chargers; pending for ever where there is none.
async fn newest_order(orders: &mut [watch::Receiver<Option<Order>>]) -> Option<Order> {
    if orders.is_empty() {
        return pending().await;
    }
    let ((), index, _) = select_all(orders.iter_mut().map(|orders| Box::pin(changed(orders)))).await;
    orders.get_mut(index).and_then(|orders| *orders.borrow_and_update())
}

/// Pending for ever once nobody is left to change it.
async fn changed<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        pending().await
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn explain(why: &ConnectionError) -> String {
    match why {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "it refuses our login: check username and password under [mqtt]".into(),
        other => other.to_string(),
    }
}
