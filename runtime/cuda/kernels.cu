// What the loop does between two networks: pictures in, noise, averages, pictures out.
//
// Compiled by NVRTC for the GPU at hand with --fmad=false, by nvcc for the C++ library, and by any
// C++ compiler in the tests: a multiplication and an addition are rounded one by one, so that all
// give the bits that numpy gives. Pictures are uint8 (N, H, W, 3), all else is float32 (N, 3, H, W).
//
// Loops stay loops where unrolling would only make the compiler slow: it runs when a session opens.
//
// head_in: ticket and seed, 8 bytes each. head_out: ticket, then 1 where a result was not finite.

typedef unsigned long long u64;
typedef unsigned int u32;

#ifdef __CUDACC__
#define DVSR_INLINE __device__ __forceinline__
#else
#define DVSR_INLINE static inline
#endif

// NVRTC finds kernels by name; C++ keeps them in a namespace.
#ifndef DVSR_GLOBAL
#define DVSR_GLOBAL extern "C" __global__
#endif

DVSR_INLINE u64 index_of_thread() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }

DVSR_INLINE bool is_finite(float value) { return value - value == 0.0f; }

// A sample as the model takes it, [-1, 1].
DVSR_INLINE float to_level(unsigned char sample) {
  return (float)sample * (float)(2.0 / 255.0) - 1.0f;
}

// And back: rounded to even and clipped; NaN becomes 0.
DVSR_INLINE unsigned char to_sample(float level) {
  const float grey = rintf((level + 1.0f) * 127.5f);
  return (unsigned char)(grey > 0.0f ? (grey < 255.0f ? grey : 255.0f) : 0.0f);
}

// Standard deviation in grey levels: half the model's range is 127.5 of them.
DVSR_INLINE float to_deviation(float squares, u64 samples) {
  return 127.5f * sqrtf(squares / (float)samples);
}

// uint8 pictures to [-1, 1], each written `copies` times: once for every sample of a batch.
DVSR_GLOBAL void to_model(const unsigned char* picture, float* y, u64 pictures, u64 pixels,
                          u64 copies, u64* head_out) {
  const u64 index = index_of_thread();
  if (index == 0) {
    head_out[0] = 0;
    head_out[1] = 0;
  }
  if (index >= pictures * pixels) return;
  const u64 from = index / pixels, pixel = index % pixels;
  for (u64 channel = 0; channel < 3; ++channel) {
    const float value = to_level(picture[3 * index + channel]);
    for (u64 copy = 0; copy < copies; ++copy)
      y[((copy * pictures + from) * 3 + channel) * pixels + pixel] = value;
  }
}

// The prediction plus a residual as uint8. Pictures lie `stride` bytes apart.
// With a ticket, which says that this is the last kernel of a run, it is passed on.
DVSR_GLOBAL void to_picture(const float* guess, const float* residual, unsigned char* picture,
                            u64 pictures, u64 pixels, u64 stride, const u64* head_in,
                            u64* head_out) {
  const u64 index = index_of_thread();
  if (index == 0 && head_in) head_out[0] = head_in[0];
  if (index >= pictures * pixels) return;
  const u64 from = index / pixels, pixel = index % pixels;
  for (u64 channel = 0; channel < 3; ++channel) {
    const u64 at = (from * 3 + channel) * pixels + pixel;
    const float x = residual ? guess[at] + residual[at] : guess[at];
    if (!is_finite(x)) head_out[1] = 1;
    picture[from * stride + 3 * pixel + channel] = to_sample(x);
  }
}

// to[i] = factor * from[i]
DVSR_GLOBAL void scale(const float* from, float* to, float factor, u64 count) {
  const u64 index = index_of_thread();
  if (index < count) to[index] = factor * from[index];
}

// Welford (1962): mean and sum of squared deviations of samples seen one after another. `values`
// holds `samples` fields of `count` numbers, `seen` samples came before them.
DVSR_GLOBAL void accumulate(const float* values, float* mean, float* squares, u64 seen, u64 samples,
                            u64 count) {
  const u64 index = index_of_thread();
  if (index >= count) return;
  float average = seen ? mean[index] : 0.0f, sum = seen ? squares[index] : 0.0f;
  for (u64 sample = 0; sample < samples; ++sample) {
    const float value = values[sample * count + index];
    const float difference = value - average;
    const u64 number = seen + sample + 1;
    average = number == 1 ? value : average + difference / (float)number;
    sum = number == 1 ? 0.0f : sum + difference * (value - average);
  }
  mean[index] = average;
  squares[index] = sum;
}

// Standard deviation in grey levels, float32 (N, H, W, 3).
DVSR_GLOBAL void to_spread(const float* squares, float* spread, u64 pictures, u64 pixels,
                           u64 samples) {
  const u64 index = index_of_thread();
  if (index >= pictures * pixels) return;
  const u64 from = index / pixels, pixel = index % pixels;
  for (u64 channel = 0; channel < 3; ++channel)
    spread[3 * index + channel] =
        to_deviation(squares[(from * 3 + channel) * pixels + pixel], samples);
}

// The noise rule of runtime/noise.py, to the bit.

DVSR_INLINE u64 high_product(u64 a, u64 b) {
#ifdef __CUDACC__
  return __umul64hi(a, b);
#else
  return (u64)(((unsigned __int128)a * b) >> 64);
#endif
}

// Philox4x64-10 (Salmon et al. 2011).
DVSR_INLINE void philox(u64 counter[4], u64 key0, u64 key1) {
  const u64 m0 = 0xD2E7470EE14C6C93ull, m1 = 0xCA5A826395121157ull;
#pragma unroll 1
  for (int round = 0; round < 10; ++round) {
    const u64 high0 = high_product(m0, counter[0]), low0 = m0 * counter[0];
    const u64 high1 = high_product(m1, counter[2]), low1 = m1 * counter[2];
    counter[0] = high1 ^ counter[1] ^ key0;
    counter[1] = low1;
    counter[2] = high0 ^ counter[3] ^ key1;
    counter[3] = low0;
    key0 += 0x9E3779B97F4A7C15ull;
    key1 += 0xBB67AE8584CAA73Bull;
  }
}

// A double in (0, 1) as m 2^e with m in [0.5, 1).
DVSR_INLINE double split(double u, int* exponent) {
  union {
    double number;
    u64 bits;
  } word;
  word.number = u;
  *exponent = (int)((word.bits >> 52) & 0x7FF) - 1022;
  word.bits = (word.bits & 0x000FFFFFFFFFFFFFull) | 0x3FE0000000000000ull;
  return word.number;
}

DVSR_INLINE double natural_log(double u) {
  const double sqrt_half = 0.70710678118654757, ln2 = 0.69314718055994529;
  int exponent;
  const double mantissa = split(u, &exponent);
  const double s = (mantissa - sqrt_half) / (mantissa + sqrt_half), x = s * s;
  double series = 2.0 / 13.0;
#pragma unroll 1
  for (int k = 5; k >= 0; --k) series = series * x + 2.0 / (double)(2 * k + 1);
  return ((double)exponent - 0.5) * ln2 + s * series;
}

// Cosine and sine of (turn + 1/2) / 2^32 turns, less an eighth.
DVSR_INLINE void cosine_sine(u64 turn, double* first, double* second) {
  const u64 quadrant = turn >> 30;
  const double within = (double)(turn & 0x3FFFFFFFull);
  const double angle = ((within + 0.5) * (1.0 / 1073741824.0) - 0.5) * 1.5707963267948966;
  const double x = angle * angle;
  double cosine = 1.0 / 479001600.0, sine = 1.0 / 6227020800.0;
  cosine = cosine * x + -1.0 / 3628800.0;
  cosine = cosine * x + 1.0 / 40320.0;
  cosine = cosine * x + -1.0 / 720.0;
  cosine = cosine * x + 1.0 / 24.0;
  cosine = cosine * x + -1.0 / 2.0;
  cosine = cosine * x + 1.0;
  sine = sine * x + -1.0 / 39916800.0;
  sine = sine * x + 1.0 / 362880.0;
  sine = sine * x + -1.0 / 5040.0;
  sine = sine * x + 1.0 / 120.0;
  sine = sine * x + -1.0 / 6.0;
  sine = sine * x + 1.0;
  sine = angle * sine;
  const bool odd = quadrant & 1;
  *first = odd ? sine : cosine;
  *second = odd ? cosine : sine;
  if (quadrant == 1 || quadrant == 2) *first = -*first;
  if (quadrant >= 2) *second = -*second;
}

// Standard normals of `step` for samples first, first + 1, ...; the same for every picture. The
// seed is read from memory, so that a captured graph serves every seed. One thread makes eight.
DVSR_GLOBAL void normals(float* field, const u64* head_in, u64 first, u64 step, u64 samples,
                         u64 pictures, u64 height, u64 width) {
  const u64 words = (3 * width + 1) / 2, blocks = (words + 3) / 4;
  const u64 index = index_of_thread();
  if (index >= samples * height * blocks) return;
  const u64 block = index % blocks, row = index / blocks % height;
  const u64 sample = index / (blocks * height);
  u64 word[4] = {block + 1, row, 0, 0};
  philox(word, head_in[1], (first + sample) << 32 | step);
#pragma unroll 1
  for (u64 k = 0; k < 4; ++k) {
    const double high = (double)(word[k] >> 32);
    const double radius = sqrt(-2.0 * natural_log((high + 0.5) * (1.0 / 4294967296.0)));
    double normal[2];
    cosine_sine(word[k] & 0xFFFFFFFFull, &normal[0], &normal[1]);
    for (u64 half = 0; half < 2; ++half) {
      const u64 number = 2 * (4 * block + k) + half;
      if (number >= 3 * width) return;
      const u64 at = number % 3 * height * width + row * width + number / 3;
      const float value = (float)(radius * normal[half]);
      for (u64 picture = 0; picture < pictures; ++picture)
        field[(sample * pictures + picture) * 3 * height * width + at] = value;
    }
  }
}

DVSR_INLINE u64 reflected(u64 at, u64 length) {
  if (length == 1) return 0;
  const u64 period = 2 * (length - 1), within = at % period;
  return within < length ? within : period - within;
}

// uint8 pictures (N, from_height, from_width, 3) as (N, height, width, 3): what lies beyond their
// bottom and right is reflected, as numpy.pad does, or cut off. `turned`: the channels backwards.
DVSR_GLOBAL void recut(const unsigned char* from, unsigned char* to, u64 pictures,
                       u64 from_height, u64 from_width, u64 height, u64 width, u64 turned) {
  const u64 index = index_of_thread();
  if (index >= pictures * height * width) return;
  const u64 column = index % width, row = index / width % height;
  const u64 picture = index / (width * height);
  const u64 source_row = picture * from_height + reflected(row, from_height);
  const u64 source = source_row * from_width + reflected(column, from_width);
  for (u64 channel = 0; channel < 3; ++channel)
    to[3 * index + channel] = from[3 * source + (turned ? 2 - channel : channel)];
}
