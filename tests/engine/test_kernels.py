import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fate.engine import kernels, native
from fate.engine.kernels import linear, products
from tests.products import only


def random(outputs, inputs, rows=9, seed=0):
    torch.manual_seed(seed)
    return torch.randn(outputs, inputs) / inputs**0.5, torch.randn(outputs), torch.randn(rows, inputs)


def exact(x, weight, bias):
    return (x.double() @ weight.double().t() + bias.double()).float()


@pytest.mark.parametrize("whose", ["native", "fbgemm", "torch"])
@given(outputs=st.integers(1, 70), inputs=st.integers(2, 200), rows=st.integers(1, 30), seed=st.integers(0, 99))
def test_float32_is_exact_to_its_own_rounding(whose, outputs, inputs, rows, seed):
    with pytest.MonkeyPatch.context() as monkeypatch:
        only(whose, monkeypatch)
        weight, bias, x = random(outputs, inputs, rows, seed)
        y = linear(weight, bias, "float32")(x)
        torch.testing.assert_close(y, exact(x, weight, bias), rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_float32_holds_weights_of_any_usual_size(whose, size):
    weight, bias, x = random(64, 128)
    y = linear(weight * size, bias * 0, "float32")(x)
    torch.testing.assert_close(y / size, exact(x, weight, bias * 0), rtol=1e-5, atol=1e-5)


def test_a_weight_that_fits_16_bits_is_stored_in_one_part(narrow):
    weight, bias, x = random(64, 128)
    weight = weight.half().float()
    exactly, narrow = linear(weight, bias, "float32"), linear(weight, bias, "float16")
    assert torch.equal(exactly(x), narrow(x))


@pytest.mark.parametrize(("precision", "near"), [("float16", 1e-3), ("int8", 3e-2)])
def test_narrow_weights_are_near(narrow, precision, near):
    weight, bias, x = random(200, 300)
    y, expected = linear(weight, bias, precision)(x), exact(x, weight, bias)
    assert 0 < (y - expected).abs().max() < near * expected.abs().max()


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize(("outputs", "inputs"), [(960, 320), (320, 896), (3072, 1024), (1000, 4096)])
def test_a_row_has_the_same_bits_beside_any_others(narrow, precision, outputs, inputs):
    weight, bias, x = random(outputs, inputs, 17)
    product = linear(weight, bias, precision)
    together = product(x)
    for rows in range(1, 17):
        assert torch.equal(product(x[:rows].contiguous()), together[:rows])
    louder = torch.cat((x[:2], 100 * x[2:]))
    assert torch.equal(product(louder)[:2], together[:2])


def test_rows_of_zeros_stay_zero_in_int8(narrow):
    weight, _, x = random(64, 128)
    y = linear(weight, None, "int8")(torch.cat((x, torch.zeros(1, 128))))
    assert not y[-1].any()


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_large_matrix_is_packed_in_parts(narrow, monkeypatch, precision):
    weight, bias, x = random(100, 64)
    whole = linear(weight, bias, precision)(x)
    monkeypatch.setattr(kernels, "_CHUNK", 64 * 30)
    monkeypatch.setattr(native, "_PART", 64 * 33)
    assert torch.equal(linear(weight, bias, precision)(x), whole)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_without_products_of_narrow_weights_they_are_float32(monkeypatch, precision):
    only("torch", monkeypatch)
    weight, bias, x = random(64, 128)
    torch.testing.assert_close(linear(weight, bias, precision)(x), exact(x, weight, bias), rtol=1e-5, atol=1e-5)


def test_bfloat16_is_pytorchs():
    assert products("bfloat16") == "torch"
