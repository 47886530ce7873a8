/* Products of a few rows with a fixed matrix, and a decoder's whole pass for one new token in each row.

   A pass reads every weight once, so that reading them is what its time should be spent on. A block of outputs of
   a matrix lies interleaved, input after input, so that each thread reads its share from end to end in one stream.

   What comes out for a row never depends on the rows beside it, on the number of threads, or on where its keys
   and values lie, to the last bit: every sum has one order.

   native.py has the same structures and calls these functions; families.py says what a decoder computes. */

#include <immintrin.h>
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define ONCE __attribute__((noinline))
#else
#define ONCE __attribute__((noinline, noclone)) /* every copy takes seconds to compile */
#endif

#if defined __AVX512F__ && defined __AVX512VNNI__
#define LANES 16
#define COUNT ((Vec){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
#define ROWS 12 /* that are multiplied at once: as many as there are registers for */
#else
#define LANES 8
#define COUNT ((Vec){0, 1, 2, 3, 4, 5, 6, 7})
#define ROWS 6
#endif
#define OUTPUTS (2 * LANES) /* that lie interleaved: a block */
#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define PADDING 64  /* rows of activations are as long as a multiple of this, filled up with zeros */
#define AHEAD 2048 /* bytes that are fetched before they are read: by itself the processor stops where pages end */
#define LINE 16    /* numbers in a line of the cache */
#define CACHE 400000 /* bytes of activations that stay in a core's own cache while a matrix is read */

typedef float Vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint8_t Small __attribute__((vector_size(LANES), aligned(1)));

enum Kind { FLOAT32, FLOAT16, INT8 };
enum Activation { SILU, RELU, GELU, GELU_TANH };

typedef struct {
    int64_t kind, outputs, inputs;
    const void *weights;  /* (blocks, inputs, OUTPUTS), in 8 bit (blocks, inputs / 4, OUTPUTS, 4); rest zeros */
    const float *scales;  /* of each output, in 8 bit */
    const int32_t *sums;  /* 128 times the sum of each output's weights, in 8 bit */
    const float *bias;    /* or null */
    float unit;           /* what the weights are multiples of */
} Matrix;

typedef struct {
    const float *weight, *bias;
} Norm;

typedef struct {
    Norm norm1, norm2;
    Matrix qkv, out, up, down;
} Layer;

typedef struct {
    int64_t layers, hidden, heads, kv_heads, head_dim, vocabulary, context;
    int64_t rms, gated, parallel, activation;
    int64_t turning;      /* pairs of a head's dimensions that turn */
    int64_t half;         /* whether keys and values are kept in fp16 */
    float eps, scale;
    const float *turns;   /* (context, turning, 2): cosine and sine */
    const float *slopes;  /* ALiBi's of each head, or null */
    const Layer *layer;
    Norm final_norm;
    Matrix head;
} Model;

/* One row's settings of this step, see warping.Warper, and what is drawn. */
typedef struct {
    double temperature, typical_p, damp, uniform; /* the damp in force now; the uniform in [0, 1) */
    int64_t top_k, muse_top_k, mode;
    int64_t token;
    double raw, warped; /* the token's log-probability by the model, and in what it was drawn from */
} Draw;

typedef struct {
    int64_t rows, length;     /* tokens in the trunk */
    int64_t tails_rows;       /* as many or more: some may be complete */
    int64_t slots, slot;      /* of each tail; where the new token lies */
    const int64_t *tail_of;   /* which of the tails is a row's */
    const int64_t *first;     /* the first slot of each row that is in use */
    const int64_t *places;    /* of the new tokens in their texts */
    const float *embedded;    /* (rows, hidden) */
    const void *trunk;        /* (layers, 2, kv_heads, context, head_dim) */
    void *tails;              /* (layers, 2, kv_heads, tails_rows, slots, head_dim) */
    float *scores;            /* (rows, vocabulary) */
    Draw *draws;              /* of each row what is drawn from its scores, or null */
} Pass;

/* --- a few numbers at a time ------------------------------------------------------------------ */

INLINE Vec load(const float *x) { return *(const Vec *)x; }
INLINE void store(float *x, Vec v) { *(Vec *)x = v; }
INLINE Vec all(float x) { return x - (Vec){}; }
INLINE int64_t padded(int64_t n) { return (n + PADDING - 1) / PADDING * PADDING; }

#if LANES == 16
INLINE Vec upper(Vec a, Vec b) { return (Vec)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE Vec lower(Vec a, Vec b) { return (Vec)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE Vec load_part(const float *x, int n) { return (Vec)_mm512_maskz_loadu_ps((1u << n) - 1, x); }
INLINE uint32_t at_least(Vec a, float x) { return _mm512_cmp_ps_mask((__m512)a, _mm512_set1_ps(x), _CMP_GE_OQ); }
INLINE Vec load_half(const void *x) { return (Vec)_mm512_cvtph_ps(_mm256_loadu_si256(x)); }
INLINE void store_half(void *x, Vec v) { _mm256_storeu_si256(x, _mm512_cvtps_ph((__m512)v, NEAREST)); }

/* The sums over the lanes of four vectors. */
INLINE __m128 sums_of(Vec a, Vec b, Vec c, Vec d) {
    __m512 ab = _mm512_unpacklo_ps((__m512)a, (__m512)b) + _mm512_unpackhi_ps((__m512)a, (__m512)b);
    __m512 cd = _mm512_unpacklo_ps((__m512)c, (__m512)d) + _mm512_unpackhi_ps((__m512)c, (__m512)d);
    __m512 abcd = (__m512)(_mm512_unpacklo_pd((__m512d)ab, (__m512d)cd)) +
                  (__m512)(_mm512_unpackhi_pd((__m512d)ab, (__m512d)cd));
    return (_mm512_extractf32x4_ps(abcd, 0) + _mm512_extractf32x4_ps(abcd, 1)) +
           (_mm512_extractf32x4_ps(abcd, 2) + _mm512_extractf32x4_ps(abcd, 3));
}
#else
INLINE Vec upper(Vec a, Vec b) { return (Vec)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE Vec lower(Vec a, Vec b) { return (Vec)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE Vec load_part(const float *x, int n) {
    Vec v = {};
    memcpy(&v, x, 4 * n);
    return v;
}
INLINE uint32_t at_least(Vec a, float x) {
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, _mm256_set1_ps(x), _CMP_GE_OQ));
}
INLINE Vec load_half(const void *x) { return (Vec)_mm256_cvtph_ps(_mm_loadu_si128(x)); }
INLINE void store_half(void *x, Vec v) { _mm_storeu_si128(x, _mm256_cvtps_ph((__m256)v, NEAREST)); }

INLINE __m128 sums_of(Vec a, Vec b, Vec c, Vec d) {
    __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps((__m256)a, (__m256)b), _mm256_hadd_ps((__m256)c, (__m256)d));
    return _mm256_extractf128_ps(sums, 0) + _mm256_extractf128_ps(sums, 1);
}
#endif

INLINE void store_part(float *x, Vec v, int n) {
    if (n == LANES)
        store(x, v);
    else
        memcpy(x, &v, 4 * n);
}

INLINE float largest_of(Vec a) {
    float largest = a[0];
    for (int i = 1; i < LANES; i++) largest = a[i] > largest ? a[i] : largest;
    return largest;
}

INLINE float sum_of(Vec a) {
    float sums[4];
    _mm_storeu_ps(sums, sums_of(a, (Vec){}, (Vec){}, (Vec){}));
    return sums[0];
}

/* e to the power of each lane, to about one unit in the last place: 2^n times a polynomial (Cephes' expf). */
INLINE Vec exponential(Vec x) {
    const Vec rounder = all(12582912.0f); /* adding and subtracting it leaves an integer */
    x = lower(upper(x, all(-87.0f)), all(88.0f));
    Vec n = (x * 1.44269504f + rounder) - rounder;
    x -= n * 0.693359375f;
    x -= n * -2.12194440e-4f;
    Vec p = all(1.9875691500e-4f);
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * x * x + x + 1.0f;
    return p * (Vec)((__builtin_convertvector(n, Ints) + 127) << 23);
}

/* --- products --------------------------------------------------------------------------------- */

/* Rows as a product takes them: filled up with zeros and, for 8 bit, as integers around 128. */
typedef struct {
    int64_t stride;        /* numbers from one row to the next */
    float *numbers;
    uint8_t *integers;
    float *steps;          /* of each row's integers */
} Input;

/* Rows that begin a power of two apart would drive one another out of the cache. */
INLINE int64_t apart(int64_t n) { return padded(n) + LINE; }

static size_t input_size(int64_t rows, int64_t longest) { return padded(rows * (apart(longest) * 5 + PADDING)); }

static Input input_in(char *memory, int64_t rows, int64_t longest) {
    int64_t count = rows * apart(longest);
    return (Input){0, (float *)memory, (uint8_t *)memory + 4 * count, (float *)(memory + 5 * count)};
}

static void quantise(Input *input, int64_t row, int64_t n) {
    const float *x = input->numbers + row * input->stride;
    uint8_t *y = input->integers + row * input->stride;
    Vec largest = {};
    for (int64_t i = 0; i < n; i += LANES) {
        Vec v = load(x + i);
        largest = upper(largest, upper(v, -v));
    }
    const float most = largest_of(largest);
    const Vec inverse = all(most > 0 ? 127.0f / most : 0.0f), rounder = all(12582912.0f);
    for (int64_t i = 0; i < input->stride; i += LANES) {
        Vec v = (load(x + i) * inverse + rounder) - rounder;
        *(Small *)(y + i) = __builtin_convertvector(__builtin_convertvector(v, Ints) + 128, Small);
    }
    input->steps[row] = most / 127.0f;
}

/* Take rows (rows, inputs) of which each begins ``stride`` numbers after the one before. */
static void take(Input *input, const Matrix *m, const float *x, int64_t stride, int64_t rows) {
    input->stride = apart(m->inputs);
    for (int64_t row = 0; row < rows; row++) {
        float *y = input->numbers + row * input->stride;
        if (y != x + row * stride) memcpy(y, x + row * stride, 4 * m->inputs);
        memset(y + m->inputs, 0, 4 * (input->stride - m->inputs));
        if (m->kind == INT8) quantise(input, row, m->inputs);
    }
}

/* Store some of a block's outputs, after adding the bias and what ``out`` held. */
ONCE static void put_part(const Matrix *m, int64_t output, Vec y, float *out, int add) {
    float rest[LANES];
    store(rest, y);
    for (int64_t j = 0; output + j < m->outputs; j++)
        out[output + j] = rest[j] + (m->bias ? m->bias[output + j] : 0) + (add ? out[output + j] : 0);
}

INLINE void put(const Matrix *m, int64_t output, Vec y, float *out, int add) {
    if (output + LANES > m->outputs) {
        put_part(m, output, y, out, add);
        return;
    }
    if (m->bias) y += load(m->bias + output);
    if (add) y += load(out + output);
    store(out + output, y);
}

INLINE void fetch(const void *x, int64_t size) {
    for (int64_t at = 0; at < size; at += 4 * LINE) __builtin_prefetch((const char *)x + AHEAD + at);
}

INLINE void floats(const Matrix *m, const int kind, const int rows, int64_t block, const float *x, int64_t stride,
                   float *out, int64_t out_stride, int add) {
    const int64_t n = m->inputs;
    const float *whole = (const float *)m->weights + block * n * OUTPUTS;
    const uint16_t *half = (const uint16_t *)m->weights + block * n * OUTPUTS;
    Vec sums[ROWS][2] = {};
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i * OUTPUTS;
        if (kind == FLOAT16)
            fetch(half + at, sizeof(uint16_t) * OUTPUTS);
        else
            fetch(whole + at, sizeof(float) * OUTPUTS);
        Vec a = kind == FLOAT16 ? load_half(half + at) : load(whole + at);
        Vec b = kind == FLOAT16 ? load_half(half + at + LANES) : load(whole + at + LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            sums[r][0] += x[r * stride + i] * a;
            sums[r][1] += x[r * stride + i] * b;
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        put(m, block * OUTPUTS, sums[r][0] * m->unit, out + r * out_stride, add);
        put(m, block * OUTPUTS + LANES, sums[r][1] * m->unit, out + r * out_stride, add);
    }
}

/* Add the products of four unsigned with four signed bytes to each lane. */
INLINE Ints multiply_add(Ints sums, Ints x, Ints w) {
#if LANES == 16
    return (Ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)x, (__m512i)w);
#elif defined __AVXVNNI__
    return (Ints)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)x, (__m256i)w);
#else /* those in even and those in odd places, as 16 bit */
    const __m256i even = _mm256_and_si256((__m256i)x, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16((__m256i)x, 8);
    const __m256i w_even = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)w, 8), 8);
    const __m256i w_odd = _mm256_srai_epi16((__m256i)w, 8);
    return sums + (Ints)_mm256_madd_epi16(even, w_even) + (Ints)_mm256_madd_epi16(odd, w_odd);
#endif
}

INLINE void bytes(const Matrix *m, const int rows, int64_t block, const uint8_t *x, const float *steps, int64_t stride,
                  float *out, int64_t out_stride, int add) {
    const int64_t fours = (m->inputs + 3) / 4;
    const Ints *weights = (const Ints *)((const int8_t *)m->weights + block * fours * 4 * OUTPUTS);
    Ints sums[ROWS][2] = {};
    for (int64_t i = 0; i < fours; i++) {
        fetch(weights + 2 * i, 2 * sizeof(Ints));
        const Ints a = weights[2 * i], b = weights[2 * i + 1];
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            const Ints four = ((const int32_t *)(x + r * stride))[i] - (Ints){};
            sums[r][0] = multiply_add(sums[r][0], four, a);
            sums[r][1] = multiply_add(sums[r][1], four, b);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int part = 0; part < 2; part++) {
            const int64_t output = block * OUTPUTS + part * LANES;
            const Ints total = sums[r][part] - *(const Ints *)(m->sums + output);
            put(m, output, __builtin_convertvector(total, Vec) * load(m->scales + output) * steps[r],
                out + r * out_stride, add);
        }
}

INLINE void block_of(const Matrix *m, const int rows, int64_t block, const Input *x, int64_t row, float *out,
                     int64_t out_stride, int add) {
    const float *numbers = x->numbers + row * x->stride;
    out += row * out_stride;
    if (m->kind == INT8)
        bytes(m, rows, block, x->integers + row * x->stride, x->steps + row, x->stride, out, out_stride, add);
    else if (m->kind == FLOAT16)
        floats(m, FLOAT16, rows, block, numbers, x->stride, out, out_stride, add);
    else
        floats(m, FLOAT32, rows, block, numbers, x->stride, out, out_stride, add);
}

static int64_t blocks(const Matrix *m) { return (m->outputs + OUTPUTS - 1) / OUTPUTS; }

/* Blocks of outputs from ``begin`` to ``end`` for all rows, set or added. */
ONCE static void multiply(const Matrix *m, int64_t begin, int64_t end, const Input *x, int64_t rows, float *out,
                          int64_t out_stride, int add) {
    for (int64_t block = begin; block < end; block++) {
        int64_t row = 0;
#define ROWS_AT_ONCE(n) for (; row + n <= rows; row += n) block_of(m, n, block, x, row, out, out_stride, add)
#if ROWS > 6
        ROWS_AT_ONCE(12);
        ROWS_AT_ONCE(9);
#endif
        ROWS_AT_ONCE(6);
        ROWS_AT_ONCE(3);
        ROWS_AT_ONCE(1);
    }
}

/* The part of ``n`` that is one thread's. */
INLINE int64_t share(int64_t n, int thread) { return n * thread / omp_get_num_threads(); }
#define SHARE(matrix) matrix, share(blocks(matrix), me), share(blocks(matrix), me + 1)

/* --- scores ------------------------------------------------------------------------------------ */

#define GROUP 16 /* scores of which the largest stands for all */
#define PARTS 2  /* of a row's scores, that threads take by turns */

typedef struct {
    float score;
    uint32_t index;
} Scored;

/* What orders as a score does, the largest first, as a whole number. */
INLINE uint32_t descending(float score) {
    uint32_t bits;
    score += 0.0f; /* there is one zero */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~bits & 0x7fffffff;
}

/* The largest first, equal ones in the order that they have: digit by digit, as no branch hangs on what they are. */
static void sort_down(Scored *x, Scored *room, int64_t n) {
    uint32_t begins[4][256] = {};
    for (int64_t i = 0; i < n; i++)
        for (int digit = 0; digit < 4; digit++) begins[digit][descending(x[i].score) >> 8 * digit & 255]++;
    for (int digit = 0; digit < 4; digit++) {
        uint32_t sum = 0;
        for (int i = 0; i < 256; i++) {
            const uint32_t count = begins[digit][i];
            begins[digit][i] = sum;
            sum += count;
        }
        Scored *from = digit % 2 ? room : x, *to = digit % 2 ? x : room;
        for (int64_t i = 0; i < n; i++) to[begins[digit][descending(from[i].score) >> 8 * digit & 255]++] = from[i];
    }
}

/* How many of x, a multiple of LANES, are at least so large. */
static int64_t count_at_least(const float *x, int64_t size, float least) {
    Ints counts = {};
    int64_t count = 0;
    for (int64_t i = 0; i < size; i += LANES) counts -= (Ints)(load(x + i) >= least);
    for (int i = 0; i < LANES; i++) count += counts[i];
    return count;
}

/* A number that at least n of x reach and, if it can be found soon, not many more: by bisection, whose branches do not
   hang on what is compared. */
static float reached_by(const float *x, int64_t size, int64_t n) {
    Vec most = all(-INFINITY);
    for (int64_t i = 0; i < size; i += LANES) most = upper(load(x + i), most);
    float high = largest_of(most), width = 1, low = high - width;
    for (; count_at_least(x, size, low) < n; low = high - width) {
        if (!(low > -1e30f)) return -INFINITY; /* too few are numbers */
        width *= 2;
    }
    for (int i = 0; i < 30; i++) { /* as fine as a float is: many may be equal */
        const float middle = low + (high - low) / 2;
        const int64_t count = count_at_least(x, size, middle);
        if (count < n)
            high = middle;
        else
            low = middle;
        if (count >= n && count <= n + n / 4) break; /* to sort a few too many is cheaper than to look on */
    }
    return low;
}

/* The n largest scores of a row, in descending order; fewer where some are no numbers. */
static int64_t best_of(const float *scores, int64_t vocabulary, int64_t n, Scored **best) {
    const int64_t together = GROUP * LANES; /* LANES groups, in each of which are the scores of one lane */
    float *maxima = malloc(4 * (vocabulary / GROUP + LANES));
    int64_t groups = 0, count = 0, ties = 0;
    if (!maxima) return 0;
    for (int64_t begin = 0; begin < vocabulary; begin += together, groups += LANES) {
        Vec most = all(-INFINITY);
        int64_t i = begin;
        for (; i < begin + together && i + LANES <= vocabulary; i += LANES) most = upper(load(scores + i), most);
        store(maxima + groups, most);
        for (; i < begin + together && i < vocabulary; i++)
            if (scores[i] > maxima[groups + i % LANES]) maxima[groups + i % LANES] = scores[i];
    }
    /* As n groups have a score as large as this, none of the n best is smaller. */
    const float least = reached_by(maxima, groups, n);
    const int64_t most = GROUP * count_at_least(maxima, groups, least) + n;
    Scored *found = malloc(2 * sizeof(Scored) * most);
    for (int64_t begin = 0; found && begin < vocabulary; begin += together) {
        if (!at_least(load(maxima + begin / GROUP), least)) continue;
        const int64_t end = begin + together < vocabulary ? begin + together : vocabulary;
        for (int64_t i = begin; i < end; i += LANES) {
            uint32_t which = i + LANES <= end ? at_least(load(scores + i), least)
                                              : at_least(load_part(scores + i, end - i), least) & ((1u << (end - i)) - 1);
            for (; which; which &= which - 1) {
                const int64_t j = i + __builtin_ctz(which);
                if (scores[j] > least || ties++ < n) found[count++] = (Scored){scores[j], j};
            }
        }
    }
    if (found) sort_down(found, found + most, count);
    free(maxima);
    *best = found;
    return count;
}

/* The largest of some scores, and the sum of the exponentials of all less that. Returns whether any is no number. */
static int sum_part(const float *x, int64_t n, float *largest, float *total) {
    const int64_t whole = n / LANES * LANES;
    Vec most = all(-INFINITY), sums = {}, others = {};
    Ints odd = {};
    int failed = 0;
    for (int64_t i = 0; i < whole; i += LANES) {
        const Vec v = load(x + i);
        odd |= (Ints)(v != v);
        most = upper(v, most);
    }
    float top = largest_of(most), rest = 0;
    for (int64_t i = whole; i < n; i++) {
        failed |= isnan(x[i]);
        top = x[i] > top ? x[i] : top;
    }
    int64_t i = 0;
    for (; i + 2 * LANES <= whole; i += 2 * LANES) { /* two at once: one would wait for itself */
        sums += exponential(load(x + i) - top);
        others += exponential(load(x + i + LANES) - top);
    }
    for (; i < whole; i += LANES) sums += exponential(load(x + i) - top);
    for (; i < n; i++) rest += expf(x[i] - top);
    for (int i = 0; i < LANES; i++) failed |= odd[i];
    *largest = top;
    *total = top > -INFINITY ? sum_of(sums + others) + rest : 0;
    return failed != 0;
}

enum Mode { PROB, MARGIN, UPSTREAM };

/* The Muse on n scores in descending order; see damping.dampen. Returns how many, from the first on, it has changed:
   these and the others are each still in descending order. */
static int64_t dampen(const Draw *draw, double *scores, int64_t n) {
    int64_t finite = 0;
    while (finite < n && isfinite(scores[finite])) finite++;
    const int64_t top = draw->muse_top_k < finite ? draw->muse_top_k : finite;
    const int64_t at = draw->muse_top_k < finite - 1 ? draw->muse_top_k : (finite ? finite - 1 : 0);
    const double boundary = scores[at], lowering = log(draw->damp);
    for (int64_t i = 0; i < top; i++) {
        if (draw->mode == MARGIN)
            scores[i] = boundary + draw->damp * (scores[i] - boundary);
        else if (draw->mode == UPSTREAM)
            scores[i] *= draw->damp;
        else if (draw->damp > 0 || finite > draw->muse_top_k)
            scores[i] += lowering;
    }
    return top;
}

/* From ``begin`` to ``end`` of n weights, the least share p of them all that is locally typical (arXiv:2202.00666).
   ``scores`` are in descending order, and weights their exponentials, times a number. */
static void keep_typical(const double *scores, const double *weights, int64_t n, double p, int64_t *begin,
                         int64_t *end) {
    double sum = 0, mean = scores[0], mass = 0, farthest = 0;
    for (int64_t i = 0; i < n; i++) sum += weights[i];
    for (int64_t i = 0; i < n; i++)
        if (weights[i] > 0) mean += weights[i] / sum * (scores[i] - scores[0]);
    /* What is the nearest to the mean lies together, and grows to both sides. */
    int64_t low = 0;
    while (low < n && scores[low] > mean) low++;
    for (int64_t high = low; low > 0 || high < n;) {
        const double above = low > 0 ? scores[low - 1] - mean : INFINITY, below = high < n ? mean - scores[high] : INFINITY;
        const int up = high == n || (low > 0 && above <= below);
        const double distance = up ? above : below;
        if (mass >= p && distance > farthest) break;
        mass += weights[up ? --low : high++] / sum;
        farthest = distance;
        *begin = low;
        *end = high;
    }
}

/* Draw from n scores in descending order: the first whose cumulative probability exceeds the uniform.
   ``room`` is for 4 n numbers. */
static void draw_from(Draw *draw, const Scored *found, int64_t n, double *room) {
    double *scores = room, *sorted = scores + n, *weights = sorted + n;
    int64_t *places = (int64_t *)(weights + n); /* in the sorted scores */
    for (int64_t i = 0; i < n; i++) scores[i] = found[i].score / draw->temperature;
    const int64_t top = dampen(draw, scores, n);
    for (int64_t i = 0, a = 0, b = top; i < n; i++) {
        const int64_t next = b == n || (a < top && scores[a] >= scores[b]) ? a++ : b++;
        sorted[i] = scores[next];
        places[next] = i;
    }
    int64_t left = draw->top_k < n ? draw->top_k : n, begin = 0, end;
    while (left < n && sorted[left] == sorted[left - 1]) left++; /* what ties with the last */
    for (int64_t i = 0; i < left; i++) weights[i] = exp(sorted[i] - sorted[0]);
    end = left;
    if (draw->typical_p < 1) keep_typical(sorted, weights, left, draw->typical_p, &begin, &end);
    double sum = 0, below = 0;
    for (int64_t i = begin; i < end; i++) sum += weights[i];
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t place = places[i];
        if (place < begin || place >= end || weights[place] == 0) continue;
        at = i; /* where rounding carries the point to the very end, the last possible one is drawn */
        below += weights[place];
        if (below > draw->uniform * sum) break;
    }
    draw->token = found[at].index;
    draw->warped = scores[at] - sorted[0] - log(sum);
}

/* A row's token from the scores that are ``possible``. Returns whether that cannot be. */
static int draw_row(const float *possible, int64_t vocabulary, Draw *draw) {
    const int64_t top = draw->top_k < vocabulary ? draw->top_k : vocabulary;
    const int64_t n = draw->muse_top_k < vocabulary - top ? top + draw->muse_top_k : vocabulary;
    Scored *found = NULL;
    const int failed = best_of(possible, vocabulary, n, &found) < n;
    double *room = failed ? NULL : malloc(4 * sizeof(double) * n);
    if (room) draw_from(draw, found, n, room);
    free(room);
    free(found);
    return !room;
}

/* Draw a token for each row from the scores that are ``possible``. All threads of a team call it together; ``sums``
   has room for two numbers of each part of a row. Sets ``failed`` where there is no memory or a score is no number. */
static void draw_together(const float *scores, const float *possible, int64_t rows, int64_t vocabulary, Draw *draws,
                          float (*sums)[2], int *failed) {
    /* The longest tasks come first, so that threads are done at the same time. */
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < rows * (1 + PARTS); task++) {
        const int64_t part = task - rows, row = part < 0 ? task : part / PARTS;
        int odd;
        if (part < 0) {
            odd = draw_row(possible + row * vocabulary, vocabulary, draws + row);
        } else {
            const int64_t begin = vocabulary * (part % PARTS) / PARTS, end = vocabulary * (part % PARTS + 1) / PARTS;
            odd = sum_part(scores + row * vocabulary + begin, end - begin, &sums[part][0], &sums[part][1]);
        }
        if (odd)
#pragma omp atomic write
            *failed = 1;
    }
#pragma omp master
    for (int64_t row = 0; row < rows && !*failed; row++) {
        double top = -INFINITY, total = 0;
        for (int64_t i = row * PARTS; i < (row + 1) * PARTS; i++) top = sums[i][0] > top ? sums[i][0] : top;
        for (int64_t i = row * PARTS; i < (row + 1) * PARTS; i++) total += sums[i][1] * exp(sums[i][0] - top);
        draws[row].raw = scores[row * vocabulary + draws[row].token] - top - log(total);
        *failed |= !(isfinite(top) && isfinite(draws[row].warped));
    }
}

/* Returns 0, or 1 where nothing could be drawn; see draw_together. */
int fate_draw(const float *scores, const float *possible, int64_t rows, int64_t vocabulary, Draw *draws, int threads) {
    float sums[rows * PARTS][2];
    int failed = 0;
#pragma omp parallel num_threads(threads)
    draw_together(scores, possible, rows, vocabulary, draws, sums, &failed);
    return failed;
}

/* --- a pass ----------------------------------------------------------------------------------- */

static void normalise(const Model *m, const Norm *norm, const float *x, float *y) {
    const int64_t n = m->hidden, whole = n / LANES * LANES;
    const int rest = n - whole;
    float mean = 0;
    if (!m->rms) {
        Vec sums = load_part(x + whole, rest);
        for (int64_t i = 0; i < whole; i += LANES) sums += load(x + i);
        mean = sum_of(sums) / n;
    }
    Vec squares = {};
    for (int64_t i = 0; i < whole; i += LANES) squares += (load(x + i) - mean) * (load(x + i) - mean);
    float sum = sum_of(squares);
    for (int64_t i = whole; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    const float scale = 1 / sqrtf(sum / n + m->eps);
    for (int64_t i = 0; i < n; i += LANES) {
        const int some = n - i < LANES ? rest : LANES;
        Vec v = (load_part(x + i, some) - mean) * scale * load_part(norm->weight + i, some);
        if (norm->bias) v += load_part(norm->bias + i, some);
        store_part(y + i, v, some);
    }
}

static void activate(const Model *m, float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t some = n - i < LANES ? n - i : LANES;
        Vec v = load_part(x + i, some), y;
        switch (m->activation) {
        case SILU: y = v / (1.0f + exponential(-v)); break;
        case RELU: y = upper(v, (Vec){}); break;
        case GELU_TANH: /* ½ (1 + tanh u) is the logistic function of 2 u */
            y = v / (1.0f + exponential(-1.5957691216f * (v + 0.044715f * v * v * v)));
            break;
        default:
            for (int j = 0; j < LANES; j++) y[j] = 0.5f * v[j] * (1 + erff(v[j] * 0.70710678f));
        }
        store_part(x + i, y, some);
    }
}

INLINE void turn(const Model *m, int64_t place, float *x) {
    const float *turns = m->turns + place * m->turning * 2;
    for (int64_t i = 0; i < m->turning; i++) {
        float a = x[2 * i], b = x[2 * i + 1], cosine = turns[2 * i], sine = turns[2 * i + 1];
        x[2 * i] = a * cosine - b * sine;
        x[2 * i + 1] = a * sine + b * cosine;
    }
}

/* Some numbers of a key or a value. */
INLINE Vec kept(const void *x, int64_t at, int some, const int half) {
    if (!half) return load_part((const float *)x + at, some);
    if (some == LANES) return load_half((const uint16_t *)x + at);
    uint16_t part[LANES] = {0};
    memcpy(part, (const uint16_t *)x + at, 2 * some);
    return load_half(part);
}

static void keep(void *to, int64_t at, const float *x, int64_t n, int half) {
    if (!half) {
        memcpy((float *)to + at, x, 4 * n);
        return;
    }
    for (int64_t i = 0; i < n; i += LANES) {
        const int some = n - i < LANES ? n - i : LANES;
        uint16_t part[LANES];
        store_half(part, lower(upper(load_part(x + i, some), all(-65504.0f)), all(65504.0f)));
        memcpy((uint16_t *)to + at + i, part, 2 * some);
    }
}

/* Up to three queries and what becomes of each: all read a key or a value together. */
#define QUERIES 3
typedef struct {
    const float *query;
    float *scores;
    float *out;
} Asked;

/* Add the products of some dimensions of queries and up to four keys, of which the first begins at ``at``. */
INLINE void ask_part(const Asked *asked, const int count, const void *keys, int64_t at, const int n, int64_t dim,
                     int64_t d, const int some, const int half, Vec (*sums)[4]) {
    Vec key[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) key[j] = kept(keys, at + (j < n ? j : n - 1) * dim + d, some, half);
#pragma GCC unroll 3
    for (int q = 0; q < count; q++) {
        const Vec query = some == LANES ? load(asked[q].query + d) : load_part(asked[q].query + d, some);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) sums[q][j] += query * key[j];
    }
}

INLINE void ask_four(const Asked *asked, const int count, const void *keys, int64_t at, const int n, int64_t dim,
                     int64_t from, const int half) {
    Vec sums[QUERIES][4] = {};
    int64_t d = 0;
    for (; d + LANES <= dim; d += LANES) ask_part(asked, count, keys, at, n, dim, d, LANES, half, sums);
    if (d < dim) ask_part(asked, count, keys, at, n, dim, d, dim - d, half, sums);
#pragma GCC unroll 3
    for (int q = 0; q < count; q++) {
        const __m128 four = sums_of(sums[q][0], sums[q][1], sums[q][2], sums[q][3]);
        if (n == 4)
            _mm_storeu_ps(asked[q].scores + from, four);
        else
            memcpy(asked[q].scores + from, &four, 4 * n);
    }
}

/* The products of queries with n keys, of which the first begins at ``at``, as scores from ``from`` on. */
INLINE void ask_some(const Asked *asked, const int count, const void *keys, int64_t at, int64_t n, int64_t dim,
                     int64_t from, const int half) {
    const int64_t size = half ? sizeof(uint16_t) : sizeof(float);
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        fetch((const char *)keys + (at + i * dim) * size, 4 * dim * size);
        ask_four(asked, count, keys, at + i * dim, 4, dim, from + i, half);
    }
    if (i < n) ask_four(asked, count, keys, at + i * dim, n - i, dim, from + i, half);
}

/* Add some dimensions, at most four vectors, of n values, each times its weight: one sum would wait for itself. */
INLINE void answer_part(const Asked *asked, const int count, const void *values, int64_t at, int64_t n, int64_t dim,
                        int64_t d, const int whole, int64_t from, const int half) {
    const int64_t size = half ? sizeof(uint16_t) : sizeof(float);
    Vec sums[QUERIES][4];
    int some[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const int64_t rest = dim - d - j * LANES;
        some[j] = whole ? LANES : rest < 0 ? 0 : rest < LANES ? rest : LANES;
#pragma GCC unroll 3
        for (int q = 0; q < count; q++) sums[q][j] = load_part(asked[q].out + d + j * LANES, some[j]);
    }
    for (int64_t i = 0; i < n; i++) {
        fetch((const char *)values + (at + i * dim + d) * size, 4 * LANES * size);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const Vec value = kept(values, at + i * dim + d + j * LANES, some[j], half);
#pragma GCC unroll 3
            for (int q = 0; q < count; q++) sums[q][j] += asked[q].scores[from + i] * value;
        }
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
#pragma GCC unroll 3
        for (int q = 0; q < count; q++) store_part(asked[q].out + d + j * LANES, sums[q][j], some[j]);
}

/* Add n values, each times its weight, of which the first begins at ``at``. */
INLINE void answer_some(const Asked *asked, const int count, const void *values, int64_t at, int64_t n, int64_t dim,
                        int64_t from, const int half) {
    int64_t d = 0;
    for (; d + 4 * LANES <= dim; d += 4 * LANES) answer_part(asked, count, values, at, n, dim, d, 1, from, half);
    if (d < dim) answer_part(asked, count, values, at, n, dim, d, 0, from, half);
}

#define SOME_AT_ONCE(some, ...)                                                                                        \
    for (; count >= QUERIES; count -= QUERIES, asked += QUERIES)                                                       \
        half ? some(asked, QUERIES, __VA_ARGS__, 1) : some(asked, QUERIES, __VA_ARGS__, 0);                            \
    if (count == 2) half ? some(asked, 2, __VA_ARGS__, 1) : some(asked, 2, __VA_ARGS__, 0);                            \
    if (count == 1) half ? some(asked, 1, __VA_ARGS__, 1) : some(asked, 1, __VA_ARGS__, 0)

static void ask(const Asked *asked, int64_t count, const void *keys, int64_t at, int64_t n, int64_t dim, int64_t from,
                int half) {
    SOME_AT_ONCE(ask_some, keys, at, n, dim, from);
}

static void answer(const Asked *asked, int64_t count, const void *values, int64_t at, int64_t n, int64_t dim,
                   int64_t from, int half) {
    SOME_AT_ONCE(answer_some, values, at, n, dim, from);
}

/* Turn scores into weights that add up to what is returned. ``slope`` is ALiBi's, or 0. */
static float softmax(float *scores, int64_t n, float scale, float slope) {
    for (int64_t i = n; i % LANES; i++) scores[i] = -INFINITY;
    Vec most = all(-INFINITY), sums = {};
    for (int64_t i = 0; i < n; i += LANES) {
        const Vec score = load(scores + i) * scale + slope * (COUNT + (float)i);
        store(scores + i, score);
        most = upper(most, score);
    }
    const float largest = largest_of(most);
    for (int64_t i = 0; i < n; i += LANES) {
        const Vec weight = exponential(load(scores + i) - largest); /* beyond the last score: 1e-38, which is nothing */
        store(scores + i, weight);
        sums += weight;
    }
    return sum_of(sums);
}

/* Attention of the new tokens of ``rows`` rows from ``row`` on in one head of keys and values. ``scores`` has room for
   ``longest`` numbers of each query. */
static void attend(const Model *m, const Pass *p, int64_t layer, int64_t kv_head, int64_t row, int64_t rows, float *qkv,
                   float *out, float *scores, int64_t longest) {
    const int64_t dim = m->head_dim, each = m->heads / m->kv_heads;
    const int64_t width = (m->heads + 2 * m->kv_heads) * dim, out_width = m->heads * dim;
    /* Where the keys begin in the trunk and in a row's tail, and how far behind them the values. */
    const int64_t head = layer * 2 * m->kv_heads + kv_head;
    const int64_t trunk = head * m->context * dim, values = m->kv_heads * m->context * dim;
    const int64_t of_head = p->tails_rows * p->slots * dim, tails = head * of_head, tail_values = m->kv_heads * of_head;
    Asked asked[rows * each];
    for (int64_t r = 0; r < rows; r++) {
        const int64_t new = tails + (p->tail_of[row + r] * p->slots + p->slot) * dim;
        float *of_row = qkv + (row + r) * width;
        float *key = of_row + (m->heads + kv_head) * dim, *value = key + m->kv_heads * dim;
        if (m->turning) turn(m, p->places[row + r], key);
        keep(p->tails, new, key, dim, m->half);
        keep(p->tails, new + tail_values, value, dim, m->half);
        for (int64_t q = 0; q < each; q++) {
            const int64_t i = r * each + q;
            float *query = of_row + (kv_head * each + q) * dim;
            if (m->turning) turn(m, p->places[row + r], query);
            asked[i] = (Asked){query, scores + i * longest, out + (row + r) * out_width + (kv_head * each + q) * dim};
            memset(asked[i].out, 0, 4 * dim);
        }
    }
    float totals[rows * each];
    ask(asked, rows * each, p->trunk, trunk, p->length, dim, 0, m->half);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t first = p->first[row + r], own = p->slot + 1 - first;
        const int64_t at = tails + (p->tail_of[row + r] * p->slots + first) * dim;
        ask(asked + r * each, each, p->tails, at, own, dim, p->length, m->half);
        for (int64_t q = 0; q < each; q++) {
            const float slope = m->slopes ? m->slopes[kv_head * each + q] : 0;
            totals[r * each + q] = softmax(asked[r * each + q].scores, p->length + own, m->scale, slope);
        }
    }
    answer(asked, rows * each, p->trunk, trunk + values, p->length, dim, 0, m->half);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t first = p->first[row + r], own = p->slot + 1 - first;
        const int64_t at = tails + tail_values + (p->tail_of[row + r] * p->slots + first) * dim;
        answer(asked + r * each, each, p->tails, at, own, dim, p->length, m->half);
    }
    for (int64_t i = 0; i < rows * each; i++)
        for (int64_t d = 0; d < dim; d++) asked[i].out[d] /= totals[i];
}

static int64_t longest_input(const Model *m) {
    int64_t longest = m->hidden > m->heads * m->head_dim ? m->hidden : m->heads * m->head_dim;
    for (int64_t i = 0; i < m->layers; i++)
        longest = m->layer[i].down.inputs > longest ? m->layer[i].down.inputs : longest;
    return longest;
}

static void take_normalised(Input *in, const Model *m, const Norm *norm, const Matrix *next, const float *x,
                            int64_t rows) {
    const int64_t stride = apart(m->hidden);
    for (int64_t row = 0; row < rows; row++) normalise(m, norm, x + row * m->hidden, in->numbers + row * stride);
    take(in, next, in->numbers, stride, rows);
}

/* A thread's share of the MLP's inner layer. */
static void widen(const Model *m, const Layer *layer, const Input *in, int64_t rows, float *inner, int thread) {
    const int64_t n = layer->down.inputs, width = layer->up.outputs;
    const int64_t begin = share(n / OUTPUTS, thread), end = share(n / OUTPUTS, thread + 1);
    multiply(&layer->up, begin, end, in, rows, inner, width, 0);
    if (m->gated) multiply(&layer->up, begin + n / OUTPUTS, end + n / OUTPUTS, in, rows, inner, width, 0);
    for (int64_t row = 0; row < rows; row++) {
        float *gate = inner + row * width, *up = gate + n;
        activate(m, gate + begin * OUTPUTS, (end - begin) * OUTPUTS);
        if (m->gated)
            for (int64_t i = begin * OUTPUTS; i < end * OUTPUTS; i++) gate[i] *= up[i];
    }
}

/* Scores after one more token in each row, whose keys and values are left in the tails, and what is drawn from them,
   while they are at hand. Returns 0, or 1 where there is no memory, or 2 where all is done but nothing could be drawn. */
int fate_advance(const Model *m, const Pass *p, int threads) {
    const int64_t rows = p->rows, hidden = m->hidden, wide = m->layers ? m->layer[0].up.outputs : 0;
    const int64_t longest = longest_input(m), qkv_width = (m->heads + 2 * m->kv_heads) * m->head_dim;
    const int64_t out_width = m->heads * m->head_dim, longest_text = padded(p->length + p->slots + LANES);
    /* As many rows at once read a key as make QUERIES queries; a task is one head of such rows. */
    const int64_t each = m->heads / m->kv_heads, together = each < QUERIES ? QUERIES / each : 1;
    const int64_t groups = (rows + together - 1) / together, tasks = m->kv_heads * groups;
    float *shared = malloc(4 * rows * (hidden + qkv_width + out_width + wide));
    const size_t own_size = input_size(rows, longest) + 4 * together * each * longest_text;
    char *private = aligned_alloc(PADDING, threads * own_size);
    if (!shared || !private) {
        free(shared);
        free(private);
        return 1;
    }
    float *x = shared, *qkv = x + rows * hidden;
    float *attended = qkv + rows * qkv_width, *inner = attended + rows * out_width;
    float sums[rows * PARTS][2];
    int failed = 0;
    memcpy(x, p->embedded, 4 * rows * hidden);
#pragma omp parallel num_threads(threads)
    {
        const int me = omp_get_thread_num();
        char *own = private + me * own_size;
        Input in = input_in(own, rows, longest);
        float *scores = (float *)(own + input_size(rows, longest));
        for (int64_t i = 0; i < m->layers; i++) {
            const Layer *layer = m->layer + i;
            take_normalised(&in, m, &layer->norm1, &layer->qkv, x, rows);
            multiply(SHARE(&layer->qkv), &in, rows, qkv, qkv_width, 0);
            if (m->parallel) {
                take_normalised(&in, m, &layer->norm2, &layer->up, x, rows);
                widen(m, layer, &in, rows, inner, me);
            }
#pragma omp barrier
            for (int64_t task = share(tasks, me); task < share(tasks, me + 1); task++) {
                const int64_t row = task % groups * together, some = rows - row < together ? rows - row : together;
                attend(m, p, i, task / groups, row, some, qkv, attended, scores, longest_text);
            }
#pragma omp barrier
            take(&in, &layer->out, attended, out_width, rows);
            multiply(SHARE(&layer->out), &in, rows, x, hidden, 1);
            if (!m->parallel) {
#pragma omp barrier
                take_normalised(&in, m, &layer->norm2, &layer->up, x, rows);
                widen(m, layer, &in, rows, inner, me);
#pragma omp barrier
            }
            take(&in, &layer->down, inner, wide, rows);
            multiply(SHARE(&layer->down), &in, rows, x, hidden, 1);
#pragma omp barrier
        }
        take_normalised(&in, m, &m->final_norm, &m->head, x, rows);
        multiply(SHARE(&m->head), &in, rows, p->scores, m->vocabulary, 0);
        if (p->draws) {
#pragma omp barrier
            draw_together(p->scores, p->scores, rows, m->vocabulary, p->draws, sums, &failed);
        }
    }
    free(shared);
    free(private);
    return failed ? 2 : 0;
}

/* Rows (rows, inputs) to (rows, outputs). Returns 0, or 1 where there is no memory. */
int fate_product(const Matrix *m, const float *x, int64_t rows, float *out, int threads) {
    /* So many rows at once that they stay in the cache while the matrix is read. */
    const int64_t most = CACHE / (4 * apart(m->inputs)) / ROWS * ROWS, some = most > ROWS ? most : ROWS;
    char *memory = aligned_alloc(PADDING, padded(input_size(some, m->inputs)));
    if (!memory) return 1;
    for (int64_t row = 0; row < rows; row += some) {
        const int64_t now = rows - row < some ? rows - row : some;
        Input in = input_in(memory, some, m->inputs);
        take(&in, m, x + row * m->inputs, m->inputs, now);
#pragma omp parallel num_threads(threads)
        {
            const int me = omp_get_thread_num();
            multiply(SHARE(m), &in, now, out + row * m->outputs, m->outputs, 0);
        }
    }
    free(memory);
    return 0;
}

int fate_outputs(void) { return OUTPUTS; }
