//! How does systemd know that the daemon lives? Ready, alive and stopping; alive is said by the step and by nobody else.

use crate::time::{Duration, Moment};
use sd_notify::NotifyState;
use std::io;
use tracing::warn;

type Send = dyn Fn(&[NotifyState<'_>]) -> io::Result<()> + std::marker::Send;

/// Speaks to the service manager, sd_notify(3). Where there is none it says nothing.
pub struct Notifier {
    send: Box<Send>,
    /// Half of the watchdog's time: one ping may be late without a restart.
    period: Option<Duration>,
    pinged: Option<Moment>,
    is_failing: bool,
}

impl Notifier {
    /// As the environment says: `NOTIFY_SOCKET` and `WATCHDOG_USEC`, sd_watchdog_enabled(3).
    pub fn from_environment() -> Self {
        Notifier::new(Box::new(sd_notify::notify), sd_notify::watchdog_enabled())
    }

    fn new(send: Box<Send>, watchdog: Option<Duration>) -> Self {
        Notifier { send, period: watchdog.map(|most| most / 2), pinged: None, is_failing: false }
    }

    /// Everything listens and the first step has run. `status` is shown by `systemctl status`.
    pub fn ready(&mut self, status: &str) {
        self.say(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// What `systemctl status` shows; call it on change.
    pub fn status(&mut self, status: &str) {
        self.say(&[NotifyState::Status(&one_line(status))]);
    }

    /// A step has been completed: feeds the watchdog, when half of its time has passed since the last feeding.
    /// There is no timer behind it: a daemon that does not step is restarted.
    pub fn stepped(&mut self, now: Moment) {
        let Some(period) = self.period else { return };
        if self.pinged.is_none_or(|last| now.since(last) >= period) {
            self.pinged = Some(now);
            self.say(&[NotifyState::Watchdog]);
        }
    }

    /// An orderly stop has begun.
    pub fn stopping(&mut self) {
        self.say(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    fn say(&mut self, states: &[NotifyState<'_>]) {
        let failed = (self.send)(states).err();
        if let Some(fault) = failed.as_ref().filter(|_| !self.is_failing) {
            warn!(%fault, "cannot reach systemd's notification socket; its watchdog may restart headroom");
        }
        self.is_failing = failed.is_some();
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("period", &self.period).field("pinged", &self.pinged).finish_non_exhaustive()
    }
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;
    use std::sync::{Arc, Mutex};

    type Said = Arc<Mutex<Vec<String>>>;

    fn notifier(watchdog: Option<Duration>) -> (Notifier, Said) {
        let said = Said::default();
        let heard = said.clone();
        let send = move |states: &[NotifyState<'_>]| {
            heard.lock().unwrap().extend(states.iter().map(ToString::to_string));
            Ok(())
        };
        (Notifier::new(Box::new(send), watchdog), said)
    }

    #[test]
    fn the_watchdog_is_fed_by_steps_at_half_its_time() {
        let (mut notifier, said) = notifier(Some(Duration::from_secs(10)));
        let mut fed = vec![];
        for second in 0..=20 {
            notifier.stepped(Moment::from_millis(second * 1000));
            if said.lock().unwrap().drain(..).any(|line| line == "WATCHDOG=1") {
                fed.push(second);
            }
        }
        assert_eq!(fed, [0, 5, 10, 15, 20]);
    }

    #[test]
    fn no_watchdog_is_not_fed() {
        let (mut notifier, said) = notifier(None);
        notifier.stepped(Moment::START);
        assert!(said.lock().unwrap().is_empty());
    }

    #[test]
    fn a_status_is_one_line_whatever_it_quotes() {
        let (mut notifier, said) = notifier(None);
        notifier.status("3 cars\nSTOPPING=1");
        assert_eq!(*said.lock().unwrap(), ["STATUS=3 cars STOPPING=1"]);
    }

    #[test]
    fn a_socket_that_is_gone_stops_nothing() {
        let send = |_: &[NotifyState<'_>]| Err(io::ErrorKind::NotFound.into());
        let mut notifier = Notifier::new(Box::new(send), None);
        notifier.ready("1 car");
        assert!(notifier.is_failing);
    }

    /// The environment is a process's own, so this test runs itself once more as the daemon.
    #[test]
    fn systemds_socket_hears_ready_alive_and_stopping() {
        const DAEMON: &str = "HEADROOM_TEST_AS_DAEMON";
        if std::env::var_os(DAEMON).is_some() {
            let mut notifier = Notifier::from_environment();
            notifier.ready("2 cars");
            notifier.stepped(Moment::START);
            notifier.stopping();
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let daemon = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "notify::tests::systemds_socket_hears_ready_alive_and_stopping"])
            .env(DAEMON, "1")
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "10000000")
            .env_remove("WATCHDOG_PID")
            .output()
            .unwrap();
        assert!(daemon.status.success(), "{daemon:?}");
        let heard = || {
            let mut buffer = [0; 256];
            let length = socket.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=2 cars\n");
        assert_eq!(heard(), "WATCHDOG=1\n");
        assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping\n");
    }
}
