"""The Reference: the policy as it was, whatever becomes of the actor."""

import torch

from agent.engine.batching import Batch, make_batch
from agent.roles.actor import Actor
from agent.roles.reference import Reference
from agent.rollout.render import Renderer
from tests.agent.run_fixtures import sampled_rows, tiny_vlm


def parts() -> tuple[Actor, Batch]:
    vlm = tiny_vlm()
    renderer = Renderer(vlm.processor)
    rows = sampled_rows(renderer, [(3, 2), (1, 4)])
    batch = make_batch(rows, [0, 1], [1.0, -1.0], renderer.pixels, vlm.processor.merge)
    return Actor(vlm.model, 1.0, vlm.processor.banned_ids), batch


def test_it_says_what_the_actor_said_when_it_was_made_also_after_the_actor_moved() -> None:
    actor, batch = parts()
    reference = Reference(actor)
    before = actor.logprobs(batch)[0].detach()
    torch.testing.assert_close(reference.logprobs(batch), before, atol=1e-6, rtol=0)
    with torch.no_grad():
        for parameter in actor.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(reference.logprobs(batch), before, atol=1e-6, rtol=0)
    assert float((actor.logprobs(batch)[0].detach() - before).abs().max()) > 1e-2


def test_no_gradient_reaches_it() -> None:
    actor, batch = parts()
    reference = Reference(actor)
    assert not reference.logprobs(batch).requires_grad
    assert not any(parameter.requires_grad for parameter in reference._actor.model.parameters())
    assert all(parameter.requires_grad for parameter in actor.model.parameters())


def test_it_speaks_of_action_tokens_only() -> None:
    actor, batch = parts()
    logprobs = Reference(actor).logprobs(batch)
    assert torch.equal(logprobs != 0, batch.action_mask)
