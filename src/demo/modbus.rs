//! How does a virtual device answer on Modbus TCP? With the registers that it is asked for, or not at all.

use super::peer::Peer;
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response};

/// The function code that a device answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// FC3.
    Holding,
    /// FC4.
    Input,
}

/// All registers of a device by address; `None`: it does not answer now.
pub type Registers = BTreeMap<u16, u16>;

/// Serves what `read` says on loopback, each time anew; `port` 0 takes a free one.
///
/// # Errors
/// The port is taken.
pub async fn serve<F>(port: u16, table: Table, read: F) -> io::Result<Peer>
where
    F: Fn() -> Option<Registers> + Send + Sync + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    let device = Arc::new(Device { table, read });
    let work = async move {
        let server = Server::new(listener);
        let device = move |_: SocketAddr| Ok(Some(Arc::clone(&device)));
        let connected = |stream, peer| {
            let device = device.clone();
            async move { accept_tcp_connection(stream, peer, device) }
        };
        let closed = |fault| tracing::debug!("virtual device: connection closed: {fault}");
        if let Err(fault) = server.serve(&connected, closed).await {
            tracing::warn!("virtual device at {address} has stopped: {fault}");
        }
    };
    Ok(Peer::new(address, work))
}

struct Device<F> {
    table: Table,
    read: F,
}

impl<F: Fn() -> Option<Registers>> Service for Device<F> {
    type Request = Request<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Self::Response, Self::Exception>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let Some(registers) = (self.read)() else { return ready(Ok(None)) };
        let answer = match (self.table, request) {
            (Table::Input, Request::ReadInputRegisters(address, count)) => {
                block(&registers, address, count).map(Response::ReadInputRegisters)
            }
            (Table::Holding, Request::ReadHoldingRegisters(address, count)) => {
                block(&registers, address, count).map(Response::ReadHoldingRegisters)
            }
            (Table::Input | Table::Holding, _) => Err(ExceptionCode::IllegalFunction),
        };
        ready(answer.map(Some))
    }
}

fn block(registers: &Registers, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
    let word = |offset| address.checked_add(offset).and_then(|at| registers.get(&at).copied());
    (0..count).map(word).collect::<Option<Vec<u16>>>().ok_or(ExceptionCode::IllegalDataAddress)
}
