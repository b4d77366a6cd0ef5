//! Connections that forget: before one waits for the next call, its buffers, in which the last call's keys lie, are erased.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use zeroize::Zeroize as _;

/// The last of a chain of connectors.
#[derive(Debug)]
pub(super) struct Wiping;

/// A connection, TLS included.
#[derive(Debug)]
pub(super) struct Wiped<T>(T);

impl<T: Transport> Connector<T> for Wiping {
    type Out = Wiped<T>;

    fn connect(&self, _: &ConnectionDetails<'_>, connection: Option<T>) -> Result<Option<Wiped<T>>, Error> {
        Ok(connection.map(Wiped))
    }
}

impl<T: Transport> Transport for Wiped<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout)
    }

    /// Asked when a call is over and the connection shall be kept: what was read is consumed, so all of the input is free.
    fn is_open(&mut self) -> bool {
        let buffers = self.0.buffers();
        buffers.input_append_buf().zeroize();
        buffers.output().zeroize();
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
