"""`Aggregator`: the verdict on each client, model state dicts, memory and resuming."""

import io

import numpy as np
import pytest
import torch
from torch import nn

import fedward as fw
from fedward import Reason, mixers, rules
from fedward.stack import Dense

RULES = [
    rules.Mean(),
    rules.Median(),
    rules.TrimmedMean(f=2),
    rules.Krum(f=2),
    rules.MultiKrum(f=2),
    rules.Bulyan(f=1),
    rules.GeometricMedian(),
    rules.DnC(f=2),
    rules.SignGuard(),
    rules.SignGuardSim(warmup=1),
    rules.SignGuardDist(warmup=1),
    mixers.ClipNorm(radius="median") >> rules.Mean(),
    mixers.ClipNorm(radius=2.0) >> rules.MultiKrum(f=2),
]
MEMORY = [rules.SignGuardSim(warmup=1), rules.SignGuardDist(warmup=1, variant="official"), rules.SignGuard()]


def random_rows(n=9, d=60, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(d, generator=generator, dtype=torch.float64)
    return (common + 0.5 * torch.randn(n, d, generator=generator, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_what_a_result_has(rule, dtype):
    G = random_rows(dtype=dtype)
    G[3] *= -20
    before, ids = G.clone(), [f"client {i}" for i in range(9)]
    result = fw.Aggregator(rule)(G, ids=ids)
    assert (result.output.dtype, result.output.device, result.output.shape) == (dtype, G.device, (60,))
    assert result.ids == tuple(ids)
    assert result.accepted.dtype == torch.bool
    if result.weights is None:
        assert bool(result.accepted[[i for i in range(9) if i != 3]].any())
    else:
        assert result.weights.dtype == torch.float64
        assert torch.equal(result.accepted, result.weights > 0)
        # one bfloat16 rounding of the output
        tolerance = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 1e-2}[dtype]
        torch.testing.assert_close(result.output.double(), result.weights @ G.double(), rtol=tolerance, atol=tolerance)
    for i in range(9):
        assert (result.reasons[i] is Reason.ACCEPTED) == bool(result.accepted[i])
    for score in result.scores.values():
        assert (score.dtype, score.shape) == (torch.float64, (9,))
        assert bool(score.isfinite().all())
    assert torch.equal(G, before)
    torch.testing.assert_close(result.output, rule(G), rtol=1e-6, atol=0)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_in_arrays_out(rule, dtype):
    G = random_rows().numpy().astype(dtype)
    result = fw.Aggregator(rule)(G)
    assert isinstance(result.output, np.ndarray)
    assert result.output.dtype == dtype
    assert (result.accepted.dtype, type(result.accepted)) == (np.bool_, np.ndarray)
    assert all(isinstance(score, np.ndarray) for score in result.scores.values())
    if result.weights is not None:
        assert (result.weights.dtype, type(result.weights)) == (np.float64, np.ndarray)
        np.testing.assert_allclose(result.weights @ G, result.output, rtol=1e-5, atol=1e-6)
    expected = fw.Aggregator(rule)(torch.from_numpy(G))
    assert np.array_equal(result.output, expected.output.numpy())
    assert result.reasons == expected.reasons
    assert "accepted" in result.table()


def test_weights_refer_to_the_clients_whatever_was_left_out_before():
    G = random_rows()
    G[0], G[4] = torch.nan, torch.inf
    G[7] *= 100
    for rule in (rules.Krum(f=2), rules.MultiKrum(f=2), rules.SignGuard(), mixers.ClipNorm(radius=1.0) >> rules.Mean()):
        result = fw.Aggregator(rule)(G)
        finite = [i for i in range(9) if i not in (0, 4)]
        assert result.weights[[0, 4]].tolist() == [0, 0]
        torch.testing.assert_close(result.weights[finite] @ G[finite], result.output)
        assert bool(result.output.isfinite().all())


def test_scores_are_nan_for_rows_never_seen():
    G = random_rows()
    G[2, 5] = torch.nan
    for rule, name in ((rules.Krum(f=2), "krum"), (rules.SignGuard(), "norm"), (rules.Bulyan(f=1), "krum")):
        score = fw.Aggregator(rule)(G).scores[name]
        assert score.isnan().tolist() == [i == 2 for i in range(9)]


def test_reasons():
    G = random_rows(10)
    G[1] *= 50
    G[2] *= 1e-3
    G[3] = -G[3]
    G[5, 0] = torch.inf
    reasons = fw.Aggregator(rules.SignGuard(fraction=1.0))(G).reasons
    assert [reasons[i] for i in (1, 2, 3, 5)] == [
        Reason.NORM_TOO_LARGE,
        Reason.NORM_TOO_SMALL,
        Reason.SIGN_OUTLIER,
        Reason.NONFINITE,
    ]
    assert reasons.count(Reason.ACCEPTED) >= 4
    assert fw.Aggregator(rules.Krum(f=2))(G).reasons.count(Reason.FAR) == 8
    assert fw.Aggregator(rules.Median())(G).reasons.count(Reason.ACCEPTED) == 9
    assert fw.Aggregator(rules.DnC(f=2))(G).reasons[1] is Reason.SPECTRAL_OUTLIER


def test_scores_and_reasons_of_averages_belong_to_the_clients():
    """Whoever contributes to a row has the row's score and, without weight, its reason."""

    class Pairs(fw.Mixer):
        def rows(self, n):
            return n // 2

        def matrix(self, updates, context):
            return 0.5 * torch.eye(updates.n // 2, dtype=torch.float64).repeat_interleave(2, dim=1)

    G = random_rows(14)
    G[4:6] += 100
    result = fw.Aggregator(Pairs() >> rules.MultiKrum(f=2, m=6))(G, ids=[*"abcdefghijklmn"])
    assert result.weights.tolist() == pytest.approx([0 if i in (4, 5) else 1 / 12 for i in range(14)])
    assert [i for i in range(14) if result.reasons[i] is Reason.FAR] == [4, 5]
    score = result.scores["krum"]
    assert torch.equal(score[::2], score[1::2])
    assert int(score.argmax()) in (4, 5)
    torch.testing.assert_close(result.weights @ G, result.output)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_table_has_a_line_for_each_client(rule):
    G = random_rows()
    G[2] = torch.nan
    ids = ["ann", "bob", 3, ("a", "tuple"), None, 5.5, "g", "h", "i"]
    result = fw.Aggregator(rule)(G, ids=ids)
    head, rule_line, *lines = result.table().splitlines()
    assert head.split()[::4] == ["id", "reason"]
    assert set(rule_line) == {"-", " "}
    assert len(lines) == 9
    for line, name, reason, accepted in zip(lines, ids, result.reasons, result.accepted, strict=True):
        assert line.startswith(str(name))
        assert line.endswith(str(reason))
        assert ("yes" if accepted else "no") in line.split()
    assert lines[2].split()[-1] == "nonfinite"


# --- state dicts --------------------------------------------------------------------------------------------


def model(seed):
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4))
    for _ in range(3 + seed):
        made(torch.randn(5, 1, 4, 4))
    return made


@pytest.fixture
def models():
    with torch.random.fork_rng(devices=[]):
        return [model(seed) for seed in range(7)]


@pytest.mark.parametrize("rule", [rules.Mean(), rules.Median(), rules.Krum(f=2), rules.SignGuard(lower=0)], ids=str)
def test_state_dicts_come_back_as_state_dicts(rule, models):
    dicts = [m.state_dict() for m in models]
    before = [{k: v.clone() for k, v in d.items()} for d in dicts]
    result = fw.Aggregator(rule)(dicts)
    output = result.state_dict()
    assert output.keys() == dicts[0].keys()
    for key, value in output.items():
        assert (value.dtype, value.shape) == (dicts[0][key].dtype, dicts[0][key].shape)
    models[0].load_state_dict(output, strict=True)
    floats = [k for k, v in dicts[1].items() if v.is_floating_point() and "running" not in k]
    G = torch.stack([torch.cat([d[k].reshape(-1) for k in floats]) for d in before])
    torch.testing.assert_close(torch.cat([output[k].reshape(-1) for k in floats]), rule(G), rtol=1e-5, atol=1e-6)
    assert result.output.shape == (G.shape[1],)  # no column for running statistics and batch counters
    for old, new in zip(before[1:], dicts[1:], strict=True):
        assert all(torch.equal(old[k], new[k]) for k in old)


@pytest.mark.filterwarnings("ignore::fedward.core.RawWeightsWarning")  # rows are alike
def test_counters_are_the_lower_median_of_the_accepted():
    row = torch.ones(4)
    dicts = [{"w": row * (1 + 0.01 * i), "count": torch.tensor(c)} for i, c in enumerate([4, 2, 8, 6])]
    dicts += [{"w": row * torch.nan, "count": torch.tensor(1)}, {"w": row * 1e6, "count": torch.tensor(0)}]
    assert int(fw.Aggregator(rules.SignGuard(cluster=False))(dicts).state_dict()["count"]) == 4
    assert int(fw.Aggregator(rules.Median())(dicts).state_dict()["count"]) == 4
    mask = [{"w": row, "mask": torch.tensor([i > 0, i > 1])} for i in range(3)]
    found = fw.Aggregator(rules.Mean())(mask, integers="counters").state_dict()
    assert found["mask"].tolist() == [True, False]


@pytest.mark.parametrize("sent", [torch.tensor(torch.nan), torch.tensor(5.5), torch.tensor(2**40)])
def test_a_counter_keeps_its_dtype_whatever_one_client_sends(sent):
    dicts = [{"w": torch.ones(4), "count": torch.tensor(c, dtype=torch.int32)} for c in (3, 3, 3, 3)]
    dicts[2]["count"] = sent
    try:
        count = fw.Aggregator(rules.Mean())(dicts).state_dict()["count"]
    except (TypeError, ValueError) as error:
        assert "client 2" in str(error)  # noqa: PT017 - either is an answer
    else:
        assert (count.dtype, int(count)) == (torch.int32, 3)


def test_mixed_precision_comes_back_as_it_was():
    dicts = [{"half": torch.full((2, 2), float(i)).bfloat16(), "single": torch.full((3,), float(i))} for i in range(3)]
    output = fw.Aggregator(rules.Mean())(dicts).state_dict()
    assert (output["half"].dtype, output["single"].dtype) == (torch.bfloat16, torch.float32)
    assert output["half"].shape == (2, 2)
    assert float(output["half"].sum()) == 4
    assert output["single"].tolist() == [1, 1, 1]


def test_scalars_and_empty_tensors_have_their_places():
    dicts = [
        {"a": torch.tensor(float(i)), "none": torch.ones(0, 3), "b": torch.full((2, 1), 10.0 * i)} for i in range(3)
    ]
    output = fw.Aggregator(rules.Median())(dicts).state_dict()
    assert {k: tuple(v.shape) for k, v in output.items()} == {"a": (), "none": (0, 3), "b": (2, 1)}
    assert (float(output["a"]), output["b"].flatten().tolist()) == (1, [10, 10])


def test_no_names_no_state_dict():
    with pytest.raises(ValueError, match="aggregate state dicts to get one back"):
        fw.Aggregator(rules.Mean())(random_rows()).state_dict()


# --- memory -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [*MEMORY, mixers.ClipNorm(radius="median") >> rules.SignGuardSim(warmup=1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_resumed_aggregator_is_bitwise_the_same(rule, dtype):
    straight, stopped = fw.Aggregator(rule, seed=3), fw.Aggregator(rule, seed=3)
    for r in range(3):
        straight(random_rows(seed=r, dtype=dtype))
        stopped(random_rows(seed=r, dtype=dtype))
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    resumed = fw.Aggregator(rule, seed=3)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.round == 3
    for r in range(3, 7):
        a, b = (agg(random_rows(seed=r, dtype=dtype)) for agg in (straight, resumed))
        assert torch.equal(a.output, b.output)
        assert a.reasons == b.reasons
        assert all(torch.equal(a.scores[k], b.scores[k]) for k in a.scores)


def test_the_round_and_the_seed_change_what_is_random():
    G = random_rows(d=400)
    rule = rules.SignGuard(fraction=0.1)
    one, other = fw.Aggregator(rule, seed=0), fw.Aggregator(rule, seed=1)
    first, second = one(G), one(G)
    assert not torch.equal(first.scores["positive"], second.scores["positive"])
    assert not torch.equal(first.scores["positive"], other(G).scores["positive"])
    assert torch.equal(first.scores["positive"], fw.Aggregator(rule, seed=0)(G).scores["positive"])


def test_memory_matters():
    rule = rules.SignGuardSim(warmup=1)
    agg, fresh = fw.Aggregator(rule), fw.Aggregator(rule)
    agg(random_rows(seed=1))
    a, b = agg(random_rows(seed=2)), fresh(random_rows(seed=2))
    assert not torch.allclose(a.scores["feature"], b.scores["feature"])


def test_the_caller_may_do_with_the_output_as_it_likes():
    rule = rules.SignGuardSim(warmup=1)
    one, other = fw.Aggregator(rule), fw.Aggregator(rule)
    for r in range(3):
        a, b = one(random_rows(seed=r)), other(random_rows(seed=r))
        assert torch.equal(a.output, b.output)
        assert torch.equal(a.scores["feature"], b.scores["feature"])
        a.output.neg_()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            fw.Aggregator(rules.Krum(f=2), seed=1),
            r"with rule .*Krum\(f=1, .*, but this aggregator has .*Krum\(f=2, ",
        ),
        (fw.Aggregator(rules.Median(), seed=1), r"has 'Median\(\)'"),
        (fw.Aggregator(rules.Krum(f=1), seed=2), "saved with seed 1, but this aggregator has 2"),
        (
            fw.Aggregator(rules.Krum(f=1), seed=1, batch_norm="mean"),
            "saved with batch_norm 'robust', but this aggregator has 'mean'; make the aggregator as it was then",
        ),
    ],
)
def test_the_state_of_another_aggregator_is_refused(other, message):
    saved = fw.Aggregator(rules.Krum(f=1), seed=1)
    saved(random_rows())
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(saved.state_dict())
    assert (other.round, other.state) == (0, {})


def test_a_state_saved_before_batch_norm_could_be_chosen_is_one_of_the_default():
    saved = fw.Aggregator(rules.Krum(f=1))
    saved(random_rows())
    older = {key: value for key, value in saved.state_dict().items() if key != "batch_norm"}
    resumed = fw.Aggregator(rules.Krum(f=1))
    resumed.load_state_dict(older)
    assert resumed.round == 1
    with pytest.raises(ValueError, match="saved with batch_norm 'robust', but this aggregator has 'frozen'"):
        fw.Aggregator(rules.Krum(f=1), batch_norm="frozen").load_state_dict(older)


def test_saved_states_do_not_change_afterwards():
    agg = fw.Aggregator(rules.SignGuardSim(warmup=1))
    agg(random_rows())
    saved = agg.state_dict()
    reference = saved["state"]["reference"].clone()
    agg(random_rows(seed=1))
    assert saved["round"] == 1
    assert torch.equal(saved["state"]["reference"], reference)


@pytest.mark.parametrize("wrong", [rules.Krum, "krum", None, mixers.ClipNorm(radius=1.0)])
def test_an_aggregator_needs_a_rule(wrong):
    with pytest.raises(TypeError, match=r"needs a rule, such as rules.Median\(\), got"):
        fw.Aggregator(wrong)


def test_a_rule_is_a_dataclass():
    class Plain(fw.Rule):
        def decide(self, updates, state, context):
            return fw.average_of(updates, torch.arange(updates.n))

    with pytest.raises(TypeError, match=r"Plain is none: write @dataclass.* above class Plain"):
        fw.Aggregator(Plain())


@pytest.mark.parametrize("wrong", ["a", 1.5, None, True, [0]])
def test_a_seed_is_a_whole_number(wrong):
    with pytest.raises(ValueError, match="Aggregator: seed is a whole number of at least 0, got"):
        fw.Aggregator(rules.Median(), seed=wrong)
    assert repr(fw.Aggregator(rules.Median(), seed=np.int64(3))) == "Aggregator(Median(), seed=3)"


def test_updates_in_and_how_it_looks():
    G = random_rows()
    result = fw.Aggregator(rules.Mean())(Dense(G, ids=[*"abcdefghi"]), messages={"a": 1})
    assert isinstance(result.output, torch.Tensor)
    assert result.ids[0] == "a"
    assert repr(fw.Aggregator(rules.Krum(f=1), seed=4)) == "Aggregator(Krum(f=1, bound='theorem'), seed=4)"
