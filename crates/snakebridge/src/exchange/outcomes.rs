//! Reading what came of the calls of a pipeline from its reply.

use serde::de::Deserialize;
use snakebridge_wire::reply::FaultCode;
use snakebridge_wire::{DecodeError, DecodeErrorKind, Deserializer, Kind, Limits, Tape};

use super::Answer;
use crate::WorkerId;
use crate::engine::waiting::Wait;
use crate::error::{Error, PythonError, Result};

impl Answer {
    /// Reads the reply of a pipeline of so many calls; `read` reads one result, by its place.
    pub(crate) async fn outcomes<T, W: Wait>(
        &mut self,
        count: usize,
        read: impl Fn(usize, Deserializer<'_, '_>) -> Result<T, DecodeError>,
    ) -> Result<Vec<Result<T>>> {
        self.with_care::<_, W>(move |answer| answer.read_outcomes(count, &read)).await
    }

    fn read_outcomes<T>(
        &self,
        count: usize,
        read: &impl Fn(usize, Deserializer<'_, '_>) -> Result<T, DecodeError>,
    ) -> Result<Vec<Result<T>>, DecodeError> {
        let Some(frame) = self.lane.as_ref().and_then(|lane| lane.reply()) else {
            return Err(serde::de::Error::custom("there is no reply"));
        };
        let mut tape = Tape::scan(frame.body, Limits::DEFAULT)?;
        self.decoding(&mut tape, |tape| self.parse_outcomes(tape, count, read))
    }

    /// `(values, failures)`, where a failure is `(place, kind, body)`.
    fn parse_outcomes<T>(
        &self,
        tape: &Tape<'_>,
        count: usize,
        read: &impl Fn(usize, Deserializer<'_, '_>) -> Result<T, DecodeError>,
    ) -> Result<Vec<Result<T>>, DecodeError> {
        let mut parts = tape.deserializer().items()?;
        let (values, failures) = (part(&mut parts)?.items()?, part(&mut parts)?.items()?);
        let failures = failures.map(|failure| self.failure(failure));
        let mut failures = failures.collect::<Result<Vec<_>, _>>()?.into_iter().peekable();
        let mut outcomes = Vec::with_capacity(count);
        for (place, value) in values.enumerate() {
            if let Some((_, error)) = failures.next_if(|(failed, _)| *failed == place) {
                outcomes.push(Err(error));
                continue;
            }
            outcomes.push(match read(place, value) {
                Err(error) if matches!(error.kind(), DecodeErrorKind::Careful(_)) => {
                    return Err(error);
                }
                read => read.map_err(|error| self.decode_error(&error)),
            });
        }
        match outcomes.len() == count {
            true => Ok(outcomes),
            false => Err(serde::de::Error::custom("there are not as many outcomes as calls")),
        }
    }

    /// `(place, kind, body)`.
    fn failure(&self, failure: Deserializer<'_, '_>) -> Result<(usize, Error), DecodeError> {
        let mut parts = failure.items()?;
        let place = usize::deserialize(part(&mut parts)?)?;
        let kind = Kind::from_byte(u8::deserialize(part(&mut parts)?)?);
        let body = part(&mut parts)?;
        if kind == Some(Kind::Error) {
            let error = Error::raised(PythonError::deserialize(body)?);
            return Ok((place, error.with_worker(WorkerId(self.worker.slot))));
        }
        let (code, text) = <(i64, String)>::deserialize(body)?;
        Ok((place, self.fault_error(FaultCode::from(code), &text)))
    }
}

fn part<'t, 'de>(
    parts: &mut impl Iterator<Item = Deserializer<'t, 'de>>,
) -> Result<Deserializer<'t, 'de>, DecodeError> {
    parts.next().ok_or_else(|| serde::de::Error::custom("a part of the outcomes is missing"))
}
