# What sluice stands on. The system's package is taken where there is one that is new enough; otherwise the pinned
# commit is fetched and built. -DFETCHCONTENT_TRY_FIND_PACKAGE_MODE=NEVER fetches everything.
#
# GLOBAL: a project that adds sluice as a subdirectory must see what a static sluice links. (QUIET and GLOBAL stand in
# every FIND_PACKAGE_ARGS, since CMake 3.25 joins those that it adds itself to their neighbours.)
include(FetchContent)
find_package(OpenMP REQUIRED COMPONENTS CXX GLOBAL)

# SIMD with dispatch at run time. 1.0.3 is the oldest that has all the kernels use; the pin is the newest they are
# tested with. A static sluice needs the library where it is installed, so a fetched one is installed along with it.
set(HWY_ENABLE_INSTALL ${SLUICE_INSTALL})
set(HWY_ENABLE_CONTRIB OFF)
set(HWY_ENABLE_EXAMPLES OFF)
set(HWY_ENABLE_TESTS OFF)
FetchContent_Declare(hwy
  GIT_REPOSITORY https://github.com/google/highway
  GIT_TAG 2607d3b5b0113992fe84d3848859eae13b3b52c1 # 1.4.0
  FIND_PACKAGE_ARGS 1.0.3 CONFIG QUIET GLOBAL)

# The header of a safetensors file. Headers only, and in no public header of ours.
set(JSON_BuildTests OFF)
set(JSON_Install OFF)
FetchContent_Declare(nlohmann_json
  GIT_REPOSITORY https://github.com/nlohmann/json
  GIT_TAG 9cca280a4d0ccf0c08f47a99aa71d1b0e52f8d03 # 3.11.3
  FIND_PACKAGE_ARGS 3.9 CONFIG QUIET GLOBAL)

# Under these policies the plain variables set here decide the options of fetched projects, and stay in this project.
set(CMAKE_POLICY_DEFAULT_CMP0077 NEW) # option()
set(CMAKE_POLICY_DEFAULT_CMP0126 NEW) # set(CACHE)
FetchContent_MakeAvailable(hwy nlohmann_json)
if(NOT TARGET hwy::hwy)
  add_library(hwy::hwy ALIAS hwy) # a fetched Highway has no name with a namespace
endif()

# The matrices that C++ users hold their data in. Only include/sluice/eigen.h needs it: without it there is no
# sluice::eigen, and all else stands. So it is fetched for our own tests and examples alone.
set(EIGEN_BUILD_DOC OFF)
set(EIGEN_BUILD_PKGCONFIG OFF)
FetchContent_Declare(Eigen3
  GIT_REPOSITORY https://gitlab.com/libeigen/eigen
  GIT_TAG 3147391d946bb4b6c68edd901f2add6ac1f31f8c # 3.4.0
  FIND_PACKAGE_ARGS 3.3 CONFIG QUIET GLOBAL)
if(SLUICE_BUILD_TESTS OR SLUICE_BUILD_EXAMPLES)
  FetchContent_MakeAvailable(Eigen3)
else()
  find_package(Eigen3 3.3 CONFIG QUIET)
endif()

if(SLUICE_BUILD_CLI OR SLUICE_BUILD_EXAMPLES)
  set(CLI11_BUILD_TESTS OFF)
  set(CLI11_BUILD_EXAMPLES OFF)
  set(CLI11_BUILD_DOCS OFF)
  set(CLI11_INSTALL OFF)
  FetchContent_Declare(CLI11
    GIT_REPOSITORY https://github.com/CLIUtils/CLI11
    GIT_TAG 6c7b07a878ad834957b98d0f9ce1dbe0cb204fc9 # 2.4.2
    FIND_PACKAGE_ARGS 2.1 CONFIG QUIET GLOBAL)
  FetchContent_MakeAvailable(CLI11)
endif()

if(SLUICE_BUILD_TESTS)
  set(INSTALL_GTEST OFF)
  FetchContent_Declare(GTest
    GIT_REPOSITORY https://github.com/google/googletest
    GIT_TAG f8d7d77c06936315286eb55f8de22cd23c188571 # 1.14.0
    FIND_PACKAGE_ARGS 1.11 QUIET GLOBAL)
  FetchContent_MakeAvailable(GTest)
endif()

if(SLUICE_BUILD_BENCH)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  FetchContent_Declare(benchmark
    GIT_REPOSITORY https://github.com/google/benchmark
    GIT_TAG 344117638c8ff7e239044fd0fa7085839fc03021 # 1.8.3
    FIND_PACKAGE_ARGS 1.7 CONFIG QUIET GLOBAL)
  FetchContent_MakeAvailable(benchmark)
endif()
