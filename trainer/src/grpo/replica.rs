//! Data parallelism: one replica of the policy a device, each with its share of a step's groups.
//!
//! Replicas start from the same weights, get the same sum of gradients and take the same step, so
//! they stay equal without their weights ever being sent.

use anyhow::{Context, Result, anyhow};
use burn::optim::GradientsParams;
use policy::Policy;

use super::step::{Draw, Group, Numbers, Trainer};
use crate::train::{self, Accumulator, AdamW};

/// A policy on its device, and what a step needs there.
pub struct Replica<'a> {
    /// Reference and rewards on the same device.
    pub trainer: Trainer<'a>,
    /// The policy.
    pub policy: Policy,
    /// Its optimizer.
    pub optimizer: AdamW,
}

/// A replica's share of a step.
#[derive(Default)]
pub struct Share<'d> {
    /// Groups.
    pub groups: Vec<Group<'d>>,
    /// What each one's last pass reported.
    pub numbers: Vec<Numbers>,
    sum: Accumulator,
}

impl Replica<'_> {
    /// Draws and rewards the groups of this replica and adds up their gradients.
    ///
    /// # Errors
    /// As [`Trainer::first`].
    pub fn first<'d>(&self, draws: Vec<Draw<'d>>) -> Result<Share<'d>> {
        let frozen = self.policy.without_gradients();
        let mut share = Share::default();
        for draw in draws {
            let found = self
                .trainer
                .first(&self.policy, &frozen, draw, &mut share.sum);
            let (group, numbers) = found?;
            share.groups.push(group);
            share.numbers.push(numbers);
        }
        Ok(share)
    }

    /// Draws and rewards the groups of this replica; [`Replica::again`] then adds up their gradients.
    ///
    /// # Errors
    /// As [`Trainer::draw`].
    pub fn draw<'d>(&self, draws: Vec<Draw<'d>>) -> Result<Share<'d>> {
        let frozen = self.policy.without_gradients();
        Ok(Share {
            groups: self.trainer.draw(&frozen, draws)?,
            ..Share::default()
        })
    }

    /// Goes over the groups again with the weights as they are now.
    ///
    /// # Errors
    /// As [`Trainer::again`].
    pub fn again(&self, share: &mut Share) -> Result<()> {
        let Share {
            groups,
            numbers,
            sum,
        } = share;
        let found = groups
            .iter_mut()
            .map(|group| self.trainer.again(&self.policy, group, sum));
        *numbers = found.collect::<Result<_>>()?;
        Ok(())
    }

    /// The gradients added up, times a factor.
    pub fn gradients(&self, share: &mut Share, by: f64) -> GradientsParams {
        share.sum.take(&self.policy, by)
    }

    /// One update; returns the gradient norm before clipping.
    ///
    /// # Errors
    /// As [`AdamW::step`].
    pub fn update(mut self, gradients: GradientsParams, rate: f64) -> Result<(Self, f64)> {
        let (policy, norm) = self.optimizer.step(self.policy, gradients, rate)?;
        self.policy = policy;
        Ok((self, norm))
    }

    /// The policy that is measured and exported.
    ///
    /// # Errors
    /// As [`train::averaged`].
    pub fn averaged(&self) -> Result<Policy> {
        train::averaged(&self.policy, &self.optimizer)
    }
}

/// Deals things out in turn, one list a replica.
pub fn deal<T>(things: Vec<T>, replicas: usize) -> Vec<Vec<T>> {
    let mut lists: Vec<Vec<T>> = (0..replicas).map(|_| Vec::new()).collect();
    for (i, thing) in things.into_iter().enumerate() {
        lists[i % replicas].push(thing);
    }
    lists
}

/// Puts what [`deal`] dealt back into its order.
pub fn gather<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    'round: loop {
        for list in &mut lists {
            match list.next() {
                Some(thing) => all.push(thing),
                None => break 'round,
            }
        }
    }
    all
}

/// Does something with every replica and its share at once, a thread each.
///
/// # Errors
/// The first error, in the replicas' order; a thread that ended badly.
pub fn each<'a, I, O>(
    replicas: &[Replica<'a>],
    inputs: Vec<I>,
    work: impl Fn(&Replica<'a>, I) -> Result<O> + Sync,
) -> Result<Vec<O>>
where
    I: Send,
    O: Send,
{
    if replicas.len() == 1 {
        let inputs = inputs.into_iter();
        return replicas
            .iter()
            .zip(inputs)
            .map(|(r, i)| work(r, i))
            .collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = replicas
            .iter()
            .zip(inputs)
            .map(|(replica, input)| scope.spawn(move || work(replica, input)))
            .collect();
        let joined = threads.into_iter().enumerate().map(|(i, thread)| {
            let ended = thread.join();
            ended
                .map_err(|_| anyhow!("its thread ended badly"))
                .and_then(|found| found)
                .with_context(|| format!("device {i}"))
        });
        joined.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::{deal, gather};

    #[test]
    fn what_is_dealt_comes_back_in_order() {
        for (n, replicas) in [(16, 1), (16, 3), (4, 4), (2, 3), (7, 2)] {
            let things: Vec<usize> = (0..n).collect();
            let lists = deal(things.clone(), replicas);
            assert_eq!(lists.len(), replicas);
            assert_eq!(gather(lists), things, "{n} among {replicas}");
        }
    }
}
