// What a frame needs on the GPU besides the network: camera bytes -> input tensor, labels -> bytes, flow -> flow field.
//
// The reference is core/image.py and core/preprocess.py, that is OpenCV: write_image repeats its integer arithmetic, so
// that both give the same grey levels. kernels.py computes grid, block and parameters. C++11 without any header: nvcc
// (from pycuda with no_extern_c=True, for the templates), NVRTC, and, in the tests, the host's compiler read this file.

// The structs are those of kernels.py, field by field.
struct Resampling {
    int rows, columns;     // of the source
    int height, width;     // of the destination
    float row_scale[2];    // source pixels per destination pixel: a double as the sum of two floats
    float column_scale[2];
};

struct WriteImage {
    Resampling grid;
    int step;              // bytes from one row of the source to the next
    int bytes;             // from the first sample of a pixel to that of its right neighbour
    int chroma_bytes;      // likewise of a pair of columns, for U and V
    int chroma_row_shift;  // 1: a row of U and V for two of Y
    int offsets[3];        // of the first R, G and B, or Y, U and V, from the first byte
    int is_yuv;
    int color;             // RGB, BGR or GRAY, in the destination
    int plane_stride;      // elements from one channel to the next
    int pixel_stride;      // elements from one pixel to its right neighbour
    float mean[3], std[3]; // in the order of the destination's channels
};

struct NarrowLabels {
    int rows, columns, height, width;
};

struct ScaleFlow {
    Resampling grid;
    int plane_stride, pixel_stride;  // elements of the source, as above
    float factors[2];
};

enum { RGB, BGR, GRAY };

// Half-precision numbers travel as their bits: cuda_fp16.h is not everywhere, and one instruction each is all it takes.
struct Half {
    unsigned short bits;
};

#ifdef __CUDACC__
__device__ inline Half to_half(float value)
{
    Half half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(value));
    return half;
}

__device__ inline float to_float(Half half)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half.bits));
    return value;
}
#endif

// The two rows or columns between which a destination pixel's centre lies. Beyond the border they are the same one, but
// the weights stay: OpenCV's integers round a level that is mixed with itself.
struct Taps {
    int low, high;
    float part;  // weight of `high`, 0..1
};

// OpenCV computes the position in double and rounds it to float. A TX2 has 1/32 of its speed left in double, so the
// same float comes from the scale in two floats and the rounding error of the product. (But for 10 of 41 million
// positions of random sizes, whose weights then differ by 1 of 2048.)
__device__ inline Taps taps_at(int index, const float* scale, int count)
{
    const float centre = index + 0.5f;
    const float product = __fmul_rn(centre, scale[0]);  // Never fused: its error is wanted.
    const float error = fmaf(centre, scale[1], fmaf(centre, scale[0], -product));
    const float position = (product - 0.5f) + error;
    const float whole = floorf(position);
    Taps taps;
    taps.part = position - whole;
    taps.low = max(0, min(int(whole), count - 1));
    taps.high = max(0, min(int(whole) + 1, count - 1));
    return taps;
}

struct Levels {
    int red, green, blue;
};

__device__ inline int clamp_level(int value)
{
    return max(0, min(value, 255));
}

__device__ inline Levels load(const unsigned char* __restrict__ source, const WriteImage& p, int row, int column)
{
    const unsigned char* first = source + row * p.step + column * p.bytes;
    if (!p.is_yuv) {
        const Levels levels = {__ldg(first + p.offsets[0]), __ldg(first + p.offsets[1]), __ldg(first + p.offsets[2])};
        return levels;
    }
    // ITU-R BT.601, studio range, in 20-bit fixed point, as OpenCV.
    const unsigned char* chroma = source + (row >> p.chroma_row_shift) * p.step + (column >> 1) * p.chroma_bytes;
    const int y = max(0, __ldg(first + p.offsets[0]) - 16) * 1220542 + (1 << 19);
    const int u = __ldg(chroma + p.offsets[1]) - 128;
    const int v = __ldg(chroma + p.offsets[2]) - 128;
    const Levels levels = {clamp_level((y + 1673527 * v) >> 20), clamp_level((y - 409993 * u - 852492 * v) >> 20),
                           clamp_level((y + 2116026 * u) >> 20)};
    return levels;
}

// OpenCV's bilinear mean of four levels: 11-bit weights, and these shifts.
struct Weights {
    int left, right, upper, lower;
};

__device__ inline int mix(const Weights& w, int a, int b, int c, int d)
{
    const int upper = (w.upper * ((w.left * a + w.right * b) >> 4)) >> 16;
    const int lower = (w.lower * ((w.left * c + w.right * d) >> 4)) >> 16;
    return (upper + lower + 2) >> 2;
}

__device__ inline int weight(float part)
{
    return int(rintf(part * 2048.0f));
}

__device__ inline void store(float* place, int level, float mean, float std)
{
    *place = (level - mean) / std;
}

__device__ inline void store(Half* place, int level, float mean, float std)
{
    *place = to_half((level - mean) / std);
}

// A network that takes bytes normalises inside its graph.
__device__ inline void store(unsigned char* place, int level, float, float)
{
    *place = (unsigned char)level;
}

// One thread per destination pixel: neighbours in a warp then write neighbours in each plane, and the bytes that they
// read overlap in the cache.
template <typename Element>
__device__ inline void write_image(const unsigned char* __restrict__ source, Element* __restrict__ destination,
                                   const WriteImage& p)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= p.grid.width || y >= p.grid.height)
        return;
    const Taps column = taps_at(x, p.grid.column_scale, p.grid.columns);
    const Taps row = taps_at(y, p.grid.row_scale, p.grid.rows);
    const Weights weights = {weight(1.0f - column.part), weight(column.part), weight(1.0f - row.part),
                             weight(row.part)};
    const Levels a = load(source, p, row.low, column.low);
    const Levels b = load(source, p, row.low, column.high);
    const Levels c = load(source, p, row.high, column.low);
    const Levels d = load(source, p, row.high, column.high);
    const int red = mix(weights, a.red, b.red, c.red, d.red);
    const int green = mix(weights, a.green, b.green, c.green, d.green);
    const int blue = mix(weights, a.blue, b.blue, c.blue, d.blue);
    Element* place = destination + (y * p.grid.width + x) * p.pixel_stride;
    if (p.color == GRAY) {
        store(place, (9798 * red + 19235 * green + 3735 * blue + (1 << 14)) >> 15, p.mean[0], p.std[0]);
        return;
    }
    store(place, p.color == RGB ? red : blue, p.mean[0], p.std[0]);
    store(place + p.plane_stride, green, p.mean[1], p.std[1]);
    store(place + 2 * p.plane_stride, p.color == RGB ? blue : red, p.mean[2], p.std[2]);
}

extern "C" __global__ void write_image_float32(const unsigned char* __restrict__ source,
                                               float* __restrict__ destination, WriteImage p)
{
    write_image(source, destination, p);
}

extern "C" __global__ void write_image_float16(const unsigned char* __restrict__ source,
                                               Half* __restrict__ destination, WriteImage p)
{
    write_image(source, destination, p);
}

extern "C" __global__ void write_image_uint8(const unsigned char* __restrict__ source,
                                             unsigned char* __restrict__ destination, WriteImage p)
{
    write_image(source, destination, p);
}

// The nearest source pixel, centres aligned, in integers: floor((i + 0.5) * count / size).
__device__ inline int nearest(int index, int count, int size)
{
    return (2 * index + 1) * count / (2 * size);
}

extern "C" __global__ void narrow_labels(const int* __restrict__ source, unsigned char* __restrict__ destination,
                                         NarrowLabels p)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= p.width || y >= p.height)
        return;
    const int at = nearest(y, p.rows, p.height) * p.columns + nearest(x, p.columns, p.width);
    destination[y * p.width + x] = (unsigned char)__ldg(source + at);
}

__device__ inline float load(const float* place)
{
    return __ldg(place);
}

__device__ inline float load(const Half* place)
{
    const Half half = {__ldg(&place->bits)};
    return to_float(half);
}

template <typename Element>
__device__ inline float flow_at(const Element* __restrict__ source, const ScaleFlow& p, Taps row, Taps column)
{
    const Element* upper = source + row.low * p.grid.columns * p.pixel_stride;
    const Element* lower = source + row.high * p.grid.columns * p.pixel_stride;
    const int left = column.low * p.pixel_stride, right = column.high * p.pixel_stride;
    return (load(upper + left) * (1.0f - column.part) + load(upper + right) * column.part) * (1.0f - row.part) +
           (load(lower + left) * (1.0f - column.part) + load(lower + right) * column.part) * row.part;
}

template <typename Element>
__device__ inline void scale_flow(const Element* __restrict__ source, float2* __restrict__ destination,
                                  const ScaleFlow& p)
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= p.grid.width || y >= p.grid.height)
        return;
    const int at = y * p.grid.width + x;
    float u, v;
    if (p.grid.rows == p.grid.height && p.grid.columns == p.grid.width) {
        // Not bilinear with a weight of 0: a NaN must not reach its neighbours.
        u = load(source + at * p.pixel_stride);
        v = load(source + at * p.pixel_stride + p.plane_stride);
    } else {
        const Taps row = taps_at(y, p.grid.row_scale, p.grid.rows);
        const Taps column = taps_at(x, p.grid.column_scale, p.grid.columns);
        u = flow_at(source, p, row, column);
        v = flow_at(source + p.plane_stride, p, row, column);
    }
    destination[at] = make_float2(u * p.factors[0], v * p.factors[1]);
}

extern "C" __global__ void scale_flow_float32(const float* __restrict__ source, float2* __restrict__ destination,
                                              ScaleFlow p)
{
    scale_flow(source, destination, p);
}

extern "C" __global__ void scale_flow_float16(const Half* __restrict__ source, float2* __restrict__ destination,
                                              ScaleFlow p)
{
    scale_flow(source, destination, p);
}
