// Runs kernels.cu on the CPU: the few words of CUDA that it uses, and a loop over the threads of a grid.
//
// Compile with -DKERNELS='"/path/to/kernels.cu"', C++11.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define __device__
#define __global__

using std::max;
using std::min;

struct Index {
    int x, y;
};
static Index threadIdx, blockIdx, blockDim;

struct float2 {
    float x, y;
};

static float2 make_float2(float x, float y)
{
    const float2 pair = {x, y};
    return pair;
}

static float __fmul_rn(float a, float b)
{
    return a * b;
}

// Every read of the source goes through __ldg: what lies outside of it is counted, and not touched.
static const char* source_begin;
static const char* source_end;
static long stray_reads;

template <typename T>
static T __ldg(const T* place)
{
    const char* at = reinterpret_cast<const char*>(place);
    if (at < source_begin || at + sizeof(T) > source_end) {
        ++stray_reads;
        return T();
    }
    return *place;
}

struct Half;
static Half to_half(float value);
static float to_float(Half half);

#include KERNELS

static Half to_half(float value)
{
    Half half;
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const unsigned short sign = (bits >> 16) & 0x8000;
    const float size = std::fabs(value);
    if (std::isnan(value)) {
        half.bits = sign | 0x7E00;
    } else if (size >= 65520.0f) {
        half.bits = sign | 0x7C00;
    } else {
        // In units of the last place: 2^-24 below the normal numbers, else 2^-10 of the leading power of two.
        const int exponent = size < std::ldexp(1.0f, -14) ? -14 : std::ilogb(size);
        const int units = int(std::nearbyint(std::ldexp(size, 10 - exponent)));
        half.bits = sign | ((exponent + 14) * 1024 + units);  // A normal number's leading bit counts up the exponent.
    }
    return half;
}

static float to_float(Half half)
{
    const int exponent = (half.bits >> 10) & 31, fraction = half.bits & 1023;
    const float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                       : exponent ? std::ldexp(1024.0f + fraction, exponent - 25) : std::ldexp(float(fraction), -24);
    return half.bits & 0x8000 ? -size : size;
}

template <typename Source, typename Destination, typename Parameters>
static long run(void (*kernel)(const Source*, Destination*, Parameters), const int* grid, const int* block,
                const void* source, void* destination, const void* parameters, long bytes)
{
    if (bytes != long(sizeof(Parameters)))
        return -2;
    Parameters values;
    std::memcpy(&values, parameters, sizeof values);
    blockDim.x = block[0];
    blockDim.y = block[1];
    for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
            for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x)
                    kernel(static_cast<const Source*>(source), static_cast<Destination*>(destination), values);
    return stray_reads;
}

// Return how many reads were outside of the source; -1 = no such kernel; -2 = the struct has another size.
extern "C" long launch(const char* name, const int* grid, const int* block, const void* source, long source_bytes,
                       void* destination, const void* parameters, long bytes)
{
    source_begin = static_cast<const char*>(source);
    source_end = source_begin + source_bytes;
    stray_reads = 0;
#define RUN(kernel) \
    if (!std::strcmp(name, #kernel)) return run(kernel, grid, block, source, destination, parameters, bytes)
    RUN(write_image_float32);
    RUN(write_image_float16);
    RUN(write_image_uint8);
    RUN(narrow_labels);
    RUN(scale_flow_float32);
    RUN(scale_flow_float16);
    return -1;
}
