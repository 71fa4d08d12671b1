# What sluice stands on. The system's package is taken where there is one.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(hwy 1.0.3 REQUIRED CONFIG)
find_package(nlohmann_json 3.9 REQUIRED CONFIG)
