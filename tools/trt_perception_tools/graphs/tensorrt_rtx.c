/* What the Python bindings of TensorRT 11 link, forwarded to the libraries of TensorRT for RTX.

   Both have the same C++ interfaces and ask for the version of the caller; each refuses any but its own. INFER and
   PARSER are the names of libraries that the process has loaded already. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static void *symbol(const char *library, const char *name)
{
    void *loaded = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    void *found = loaded ? dlsym(loaded, name) : NULL;
    if (!found)
        abort();
    return found;
}

static int32_t infer_version(void)
{
    return ((int32_t (*)(void))symbol(INFER, "getInferLibVersion"))();
}

int getNvOnnxParserVersion(void)
{
    return ((int (*)(void))symbol(PARSER, "getNvOnnxParserVersion"))();
}

void *createInferBuilder_INTERNAL(void *logger, int32_t version)
{
    return ((void *(*)(void *, int32_t))symbol(INFER, __func__))(logger, infer_version());
}

void *createInferRuntime_INTERNAL(void *logger, int32_t version)
{
    return ((void *(*)(void *, int32_t))symbol(INFER, __func__))(logger, infer_version());
}

void *createInferRefitter_INTERNAL(void *engine, void *logger, int32_t version)
{
    return ((void *(*)(void *, void *, int32_t))symbol(INFER, __func__))(engine, logger, infer_version());
}

void *getPluginRegistry(void)
{
    return ((void *(*)(void))symbol(INFER, __func__))();
}

void *getBuilderPluginRegistry(int32_t capability)
{
    return ((void *(*)(int32_t))symbol(INFER, __func__))(capability);
}

void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version)
{
    return ((void *(*)(void *, void *, int))symbol(PARSER, __func__))(network, logger, getNvOnnxParserVersion());
}

void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int32_t version)
{
    return ((void *(*)(void *, void *, int32_t))symbol(PARSER, __func__))(refitter, logger, getNvOnnxParserVersion());
}

bool initLibNvInferPlugins(void *logger, const char *name_space)
{
    return true; /* Networks of plain operators need none. */
}
