"""Lessons about types, and the rules of Tensor Programs (NX2xx)."""

from __future__ import annotations

from nexortlang.diagnostics.lesson import Lesson

_VECTOR = "width n\nx[n] ~ normal(0, 1)\n"
_TWO_WIDTHS = "width n\nwidth m = 2*n\nx[n] ~ normal(0, 1)\ny[m] ~ normal(0, 1)\n"
_MATRIX = "width n\nW[n, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\n"
_BOTTLENECK = "width n\nwidth m = n/4\nW[m, n] ~ normal(0, 1/n)\nx[n] ~ normal(0, 1)\n"

LESSONS: dict[str, Lesson] = {
    "NX201": Lesson(
        "another kind of value is needed here",
        "Consts, scalars, vectors, matrices, functions and widths each have their uses. The message says what was expected and what was found: "
        "a vector, for instance, is no number that can be shown; its average, its second moment and its distribution are.",
        f"{_VECTOR}show x\n",
        f"{_VECTOR}show <x|x>\n",
    ),
    "NX202": Lesson(
        "an entry of a matrix in an expression",
        "The entries of an initial matrix are of order n^(-1/2) and independent: one by one they have no limit, and a function of them is no "
        "Tensor Program. A matrix acts on vectors, and only so does it enter the limit. In y[i] = avg[j](…) only vectors and outer products "
        "have coordinates.",
        f"{_MATRIX}y[i] = avg[j](tanh(W[i, j]) * x[j])\nshow <y|y>\n",
        f"{_MATRIX}y = tanh(W @ x)\nshow <y|y>\n",
    ),
    "NX203": Lesson(
        "a function of a matrix",
        "Functions act on coordinates of vectors and on scalars. Applied to the entries of a matrix they would leave the language: its limit "
        "theorem knows a matrix only by what it does to vectors. Matrices can be added, scaled, transposed and multiplied with @.",
        f"{_MATRIX}y = tanh(W) @ x\nshow <y|y>\n",
        f"{_MATRIX}y = tanh(W @ x)\nshow <y|y>\n",
    ),
    "NX204": Lesson(
        "a vector on the left of a matrix",
        "A matrix stands on the left of the vector that it acts on. The product of a row vector and W is the transposed matrix on the vector, W.T @ x.",
        f"{_MATRIX}y = x @ W\nshow <y|y>\n",
        f"{_MATRIX}y = W.T @ x\nshow <y|y>\n",
    ),
    "NX205": Lesson(
        "two widths in one entrywise expression",
        "Vectors are combined coordinate by coordinate, so they must have one width. Two widths are different even if they are equally large: "
        "nothing says which coordinate of one belongs to which of the other. A matrix leads from one to the other.",
        f"{_TWO_WIDTHS}show avg(x * y)\n",
        f"{_TWO_WIDTHS}W[n, m] ~ normal(0, 1/m)\nshow avg(x * (W @ y))\n",
    ),
    "NX206": Lesson(
        "a matrix applied to a vector of another width",
        "W[m, n] takes a vector of width n to one of width m, and W.T the other way. The message names both ends: where the matrix was declared "
        "and where the vector got its width.",
        f"{_BOTTLENECK}y = W.T @ x\nshow <y|y>\n",
        f"{_BOTTLENECK}y = W @ x\nshow <y|y>\n",
    ),
    "NX207": Lesson(
        "an inner product between two widths",
        "<x|y> is the average of x·y over the coordinates, so both vectors must have the same ones.",
        f"{_TWO_WIDTHS}show <x|y>\n",
        f"{_TWO_WIDTHS}W[n, m] ~ normal(0, 1/m)\nshow <x|W|y>\n",
    ),
    "NX208": Lesson(
        "one index over two widths",
        "An index ranges over the coordinates of the vectors that carry it; these must have one width. Vectors of two widths take two indices.",
        f"{_TWO_WIDTHS}c = avg[i](abs(x[i] - y[i]))\nshow c\n",
        f"{_TWO_WIDTHS}c = avg[i, j](abs(x[i] - y[j]))\nshow c\n",
    ),
    "NX209": Lesson(
        "finite shapes that do not broadcast",
        "Finite axes follow NumPy: they are matched from the right, and two of them fit if they are equal or one of them is 1. Widths take no part. "
        "x[:, None] adds an axis of size 1.",
        "width n\nx[n, 2] ~ normal(0, 1)\ny[n, 3] ~ normal(0, 1)\nshow avg(x * y)\n",
        "width n\nx[n, 2] ~ normal(0, 1)\ny[n, 3] ~ normal(0, 1)\nshow avg(x[:, None] * y)\n",
    ),
    "NX210": Lesson(
        "shapes that do not fit",
        "In x @ A the last finite axis of x is summed against the first of A; a reshaped array keeps its number of entries; what is stacked in [ ] has "
        "one shape; and as many values are unpacked as there are.",
        "width n\nconst X = [[1, 0, 1], [0, 1, 1]]\nU[n, 3] ~ normal(0, 1/3)\nh = U @ X\nshow <h|h>\n",
        "width n\nconst X = [[1, 0, 1], [0, 1, 1]]\nU[n, 3] ~ normal(0, 1/3)\nh = U @ X.T\nshow <h|h>\n",
    ),
    "NX211": Lesson(
        "a width with a subscript, or too many subscripts",
        "Subscripts choose along finite axes only. The width of a vector tends to infinity and has no first coordinate to choose: all of them are "
        "alike in law. Averages speak of all, index notation of each.",
        f"{_VECTOR}show avg(x[0])\n",
        f"{_VECTOR}show avg(x)\n",
    ),
    "NX212": Lesson(
        "a subscript or size that is no whole number, or out of range",
        "Positions along a finite axis are whole numbers from 0 to its size less 1, or from -1 backwards. Sizes, bounds and seeds are whole numbers too.",
        "const A = [1, 2, 3]\nshow A[3]\n",
        "const A = [1, 2, 3]\nshow A[-1]\n",
    ),
    "NX213": Lesson(
        "a scalar where a const is needed",
        "Loop bounds, shapes, subscripts and conditions of if are known before the run. A scalar, such as avg(x), is what the run computes, random "
        "at finite width. where(cond, a, b) chooses entrywise by what is computed.",
        f"{_VECTOR}if avg(x^2) > 0.5:\n    x = x / 2\nshow <x|x>\n",
        f"{_VECTOR}x = where(avg(x^2) > 0.5, x / 2, x)\nshow <x|x>\n",
    ),
    "NX214": Lesson(
        "something else where a const is needed",
        "Here only a plain number or array will do, one that is known before the run. What is computed from consts alone is a const.",
        f"{_VECTOR}const h = tanh(x)\nshow avg(h)\n",
        f"{_VECTOR}h = tanh(x)\nshow avg(h)\n",
    ),
    "NX220": Lesson(
        "a power of n inside a nonlinearity",
        "A nonlinearity has a limit only where its argument is of order 1: tanh of something that grows becomes a sign, of something that "
        "vanishes, nothing. The message says which power of n the argument has, and which factor mends it.",
        f"{_VECTOR}y = tanh(sqrt(n) * x)\nshow <y|y>\n",
        f"{_VECTOR}y = tanh(x)\nshow <y|y>\n",
    ),
    "NX221": Lesson(
        "what is shown grows or vanishes with n",
        "Every expression has a power of n, and show prints limits, so the power must be 0. Divide or multiply by what the message says. An "
        "output sqrt(n) * <v|x> has a limit, a Gaussian one, if v is an initial vector of mean 0 that x does not depend on.",
        f"{_VECTOR}show sqrt(n) * <x|x>\n",
        f"{_VECTOR}show <x|x>\n",
    ),
    "NX222": Lesson(
        "an update of a matrix that blows up",
        "W @ x sums n entries of what was added to W. If these are of order 1/n the sum is of order 1; if they are larger it grows without bound. "
        "Divide the update by n, as |x><y| does by itself.",
        f"{_MATRIX}W[i, j] -= 0.1 * sign(x[i] * x[j])\ny = W @ x\nshow <y|y>\n",
        f"{_MATRIX}W[i, j] -= 0.1/n * sign(x[i] * x[j])\ny = W @ x\nshow <y|y>\n",
    ),
    "NX223": Lesson(
        "an update of a matrix that vanishes",
        "Entries smaller than 1/n add up to nothing in the limit: the matrix is as if it had not been trained. Where outputs are sqrt(n) * <v|x>, "
        "half a power less still moves them, and n^(-3/2) is allowed; below that, nothing is left.",
        f"{_MATRIX}W[i, j] -= 0.1/n^2 * sign(x[i] * x[j])\ny = W @ x\nshow <y|y>\n",
        f"{_MATRIX}W[i, j] -= 0.1/n * sign(x[i] * x[j])\ny = W @ x\nshow <y|y>\n",
    ),
    "NX224": Lesson(
        "an update of another order than the vector",
        "A vector or scalar changes by the order of n that it has. A larger change would blow it up, a smaller one vanish in the limit. A gradient "
        "with respect to a vector is of order 1/n, so it comes with a factor n.",
        f"{_VECTOR}L = avg(x^4)\nx -= 0.1 * grad(L, x)\nshow <x|x>\n",
        f"{_VECTOR}L = avg(x^4)\nx -= 0.1 * n * grad(L, x)\nshow <x|x>\n",
    ),
    "NX225": Lesson(
        "a matrix whose variance is not a constant over a width",
        "W @ x sums n independent entries. With variance s/n the sum is of order 1; with a constant variance it grows like sqrt(n), and with a smaller "
        "one it vanishes. The mean of the entries must be 0.",
        "width n\nW[n, n] ~ normal(0, 2)\nx[n] ~ normal(0, 1)\nh = W @ x\nshow <h|h>\n",
        "width n\nW[n, n] ~ normal(0, 2/n)\nx[n] ~ normal(0, 1)\nh = W @ x\nshow <h|h>\n",
    ),
    "NX226": Lesson(
        "a vector or scalar drawn with a growing variance",
        "The variance of an initial vector or scalar may be a constant or carry a negative power of n: normal(0, 1/n) is n^(-1/2) times "
        "normal(0, 1). If more is needed, multiply where the vector is used.",
        "width n\nx[n] ~ normal(0, n)\nshow <x|x> / n\n",
        "width n\nx[n] ~ normal(0, 1)\nshow <x|x>\n",
    ),
    "NX227": Lesson(
        "bad parameters of a law",
        "A variance is not negative, a probability lies between 0 and 1, and a covariance, a d × d array for the last axis of a normal vector, is "
        "symmetric and positive semidefinite.",
        "width n\nz[n, 2] ~ normal(0, [[1, 2], [2, 1]])\nshow <z|z>\n",
        "width n\nz[n, 2] ~ normal(0, [[1, 0.5], [0.5, 1]])\nshow <z|z>\n",
    ),
    "NX228": Lesson(
        "an unknown law",
        "After ~ stands one of the laws normal, uniform, rademacher, laplace (mean and variance) and bernoulli (probability). Other laws are functions "
        "of these, or mixtures.",
        "width n\nx[n] ~ gaussian(0, 1)\nshow <x|x>\n",
        "width n\nx[n] ~ normal(0, 1)\nshow <x|x>\n",
    ),
    "NX230": Lesson(
        "what is called is no function",
        "A name before ( ) must be a def, a built-in function or an optimizer. Products need their *.",
        f"{_VECTOR}show avg(2(x + 1))\n",
        f"{_VECTOR}show avg(2 * (x + 1))\n",
    ),
    "NX231": Lesson(
        "a loop over something that is no range or const array",
        "A loop runs over range(…) or along the first axis of a const array.",
        "const T = 3\nfor t in T:\n    show t\n",
        "const T = 3\nfor t in range(T):\n    show t\n",
    ),
    "NX233": Lesson(
        "an expression that nothing is done with",
        "A line that only computes a value has no effect in a file. At the prompt it shows the value.",
        f"{_VECTOR}avg(x^2)\n",
        f"{_VECTOR}show avg(x^2)\n",
    ),
    "NX234": Lesson(
        "a covariance or distribution of what has none",
        "show dist(x) is for vectors, whose coordinates have a distribution, and for scalars that stay random in the limit; show cov(f) for such scalars "
        "alone: initial scalars, and outputs sqrt(n) * <v|x> with v an initial vector of mean 0. An average is a plain number in the limit.",
        f"{_VECTOR}show cov(<x|x>)\n",
        "width n\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nshow cov(sqrt(n) * <v|tanh(x)>)\n",
    ),
    "NX235": Lesson(
        "sqrt(n) times something that is not known to be Gaussian",
        "sqrt(n) * <v|x> tends to a Gaussian if v is an initial vector of mean 0 that x does not depend on: a sum of n independent terms of mean 0. "
        "Of other averages, sqrt(n) * c grows, or its limit is not followed.",
        f"{_VECTOR}show cov(sqrt(n) * <x|x>)\n",
        "width n\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nshow cov(sqrt(n) * <v|x>)\n",
    ),
    "NX236": Lesson(
        "two powers of n in one array",
        "An array, and a family of vectors, has one power of n for all of its members, so that every one of them has a limit. Zeros fit any.",
        f"{_VECTOR}c = [avg(x^2), avg(x^2)/n]\nshow c[0]\n",
        f"{_VECTOR}c = [avg(x^2), avg(x^4)]\nshow c[0]\n",
    ),
    "NX240": Lesson(
        "the gradient of what is not one scalar",
        "grad(L, W) differentiates one number L. Of an array of losses take the mean or the sum, of a vector the average.",
        f"{_VECTOR}g = grad(x^2, x)\nshow <g|g>\n",
        f"{_VECTOR}g = n * grad(avg(x^2), x)\nshow <g|g>\n",
    ),
    "NX241": Lesson(
        "a gradient with respect to what the loss does not depend on",
        "grad(L, W) follows how L was computed back to the value of W that went into it. Here nothing leads there: the loss was computed from other "
        "names, or the name was bound anew after it.",
        "width n\nx[n] ~ normal(0, 1)\ny[n] ~ normal(0, 1)\nL = avg(x^2)\ng = n * grad(L, y)\nshow <g|g>\n",
        "width n\nx[n] ~ normal(0, 1)\ny[n] ~ normal(0, 1)\nL = avg((x * y)^2)\ng = n * grad(L, y)\nshow avg(g)\n",
    ),
    "NX242": Lesson(
        "an optimizer that is not entrywise",
        "An optimizer is a function of the gradients of one parameter entry, the same for all entries: that is what keeps a trained matrix within "
        "the language. What concerns all entries, such as a norm, is computed outside and passed as an argument.",
        f"{_VECTOR}optimizer centred(g):\n    return g - avg(g)\nx -= 0.1 * centred(n * grad(avg(x^4), x))\nshow avg(x)\n",
        f"{_VECTOR}optimizer shifted(g, c):\n    return g - c\ng = n * grad(avg(x^4), x)\nx -= 0.1 * shifted(g, avg(g))\nshow avg(x)\n",
    ),
    "NX243": Lesson(
        "no such axis",
        "sum, mean, max, min, argmax and softmax work along finite axes, counted from 0, -1 being the last. The width is no such axis: avg(x) "
        "averages over it. Of a vector without finite axes there is nothing to sum.",
        f"{_VECTOR}show avg(sum(x))\n",
        "width n\nx[n, 4] ~ normal(0, 1)\nshow avg(sum(x, axis=0))\n",
    ),
    "NX244": Lesson(
        "an optimizer that sees only what vanishes",
        "Where features do not move (updates smaller by sqrt(n), outputs sqrt(n) * <v|x>), a gradient is that of the initial weights. If it is 0 there for "
        "every input, as it is for what lies below a weight that starts at 0, the optimizer sees only the small rest, and what a nonlinear one makes "
        "of that is no limit: the parametrization is unfaithful.",
        "width n\nfrom optim import sign_sgd\nU[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nw = zeros(n)\n"
        "for t in range(2):\n    f = sqrt(n) * <v + w|tanh(U)> - sqrt(n) * stop(<v|tanh(U)>)\n    g = sqrt(n) * <w|tanh(2 * U)>\n    L = (f + g - 1)^2\n"
        "    w -= sign_sgd(sqrt(n) * grad(L, w)) / sqrt(n)\n    U -= sign_sgd(sqrt(n) * grad(g, U)) / sqrt(n)\n    show f\n",
        "width n\nfrom optim import sign_sgd\nU[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\n"
        "for t in range(2):\n    f = sqrt(n) * <v|tanh(U)>\n    L = (f - 1)^2\n"
        "    U -= sign_sgd(sqrt(n) * grad(L, U)) / sqrt(n)\n    show f\n",
    ),
    "NX245": Lesson(
        "a program to classify that trains nothing",
        "nexort classify sorts parametrizations by what updates do to activations and outputs. It needs a gradient, an update by it, and something that is "
        "computed afterwards: a second step of training, or an output that is shown after the first.",
        "",
        "",
    ),
    "NX246": Lesson(
        "a gradient that is 0 in the limit alone",
        "<A|x> with A of mean 0, drawn without regard to x, is of order 1/sqrt(n): it is 0 in the limit and at no width. An optimizer such as Adam or SignSGD makes steps of "
        "full size of so small a gradient, as long as its eps is smaller, so that networks move where the limit stands still: the limit is "
        "no guide to them. A low-rank adapter is of this kind, W @ x + B @ <A|x> with B from 0. With the factor sqrt(n) the inner product is of order 1, a Gaussian number in the limit, and both move.",
        "width n\nfrom optim import adam\nA[n] ~ normal(0, 1)\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nB = zeros(n)\n"
        "for t in range(2):\n    f = <v|x + B * <A|x>>\n    L = (f - 1)^2 / 2\n    show L\n    B -= 0.1 * adam(n * grad(L, B))\n",
        "width n\nfrom optim import adam\nA[n] ~ normal(0, 1)\nx[n] ~ normal(0, 1)\nv[n] ~ normal(0, 1)\nB = zeros(n)\n"
        "for t in range(2):\n    f = <v|x + B * (sqrt(n) * <A|x>)>\n    L = (f - 1)^2 / 2\n    show L\n    B -= 0.1 * adam(n * grad(L, B))\n",
    ),
}
