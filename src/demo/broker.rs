//! Which broker does the demo bring along? rumqttd on loopback, for one process's life.
//!
//! It has no way to be stopped: its threads end with the process. An open fault lets a stranger stop it before a login,
//! which is why it is on loopback and in the demo only.

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;
use tokio::net::TcpStream;

/// How often a new broker is tried before it counts as failed: a thread and a socket take far less than a second.
const TRIES: u32 = 50;
/// Between tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Starts a broker and waits until it accepts connections; `port` 0 takes a free one.
///
/// # Errors
/// The port is taken, or the broker does not come up within a second.
pub async fn start(port: u16) -> io::Result<SocketAddr> {
    // The broker cannot tell which port it was given, so a free one is looked for here and given back at once.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr()?;
    let mut broker = Broker::new(config(address));
    std::thread::Builder::new().name("demo-broker".into()).spawn(move || {
        if let Err(fault) = broker.start() {
            tracing::warn!("the demo's MQTT broker has stopped: {fault}");
        }
    })?;
    for _ in 0..TRIES {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(address);
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    Err(io::Error::other(format!("the demo's MQTT broker does not come up at {address}")))
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 64 * 1024,
        max_inflight_count: 500,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings { name: "demo".into(), listen, tls: None, next_connection_delay_ms: 1, connections };
    Config {
        router: RouterConfig {
            max_connections: 50,
            // Retained messages beyond it are dropped when somebody subscribes: more than the site has topics.
            max_outgoing_packet_count: 2_000,
            max_segment_size: 1024 * 1024,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some([("demo".to_owned(), server)].into()),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

    #[tokio::test]
    async fn what_is_published_reaches_who_has_subscribed() {
        let address = start(0).await.unwrap();
        let options = MqttOptions::new("test", address.ip().to_string(), address.port());
        let (client, mut events) = AsyncClient::new(options, 10);
        client.subscribe("a/+", QoS::AtLeastOnce).await.unwrap();
        client.publish("a/b", QoS::AtLeastOnce, true, "hello").await.unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                if let Event::Incoming(Packet::Publish(message)) = events.poll().await.unwrap() {
                    return message;
                }
            }
        });
        assert_eq!(heard.await.unwrap().payload, "hello");
    }
}
