# Installs the library and the program, and what find_package(sluice) and pkg-config need to find them.
include(CMakePackageConfigHelpers)
set(sluice_config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)

install(TARGETS sluice EXPORT sluice-targets FILE_SET HEADERS)
install(EXPORT sluice-targets NAMESPACE sluice:: DESTINATION ${sluice_config_folder})
# On its own, since it alone needs Eigen: find_package(sluice COMPONENTS eigen).
install(TARGETS sluice_eigen EXPORT sluice-eigen-targets FILE_SET HEADERS)
install(EXPORT sluice-eigen-targets NAMESPACE sluice:: DESTINATION ${sluice_config_folder})
if(TARGET sluice_program)
  # It finds a shared library beside itself, wherever both are moved.
  file(RELATIVE_PATH sluice_from_program ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(sluice_program PROPERTIES INSTALL_RPATH "\$ORIGIN/${sluice_from_program}")
  install(TARGETS sluice_program)
endif()

get_target_property(sluice_type sluice TYPE)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/sluice-config.cmake.in ${PROJECT_BINARY_DIR}/sluice-config.cmake
                              INSTALL_DESTINATION ${sluice_config_folder})
# Below 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sluice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sluice-config.cmake ${PROJECT_BINARY_DIR}/sluice-config-version.cmake
        DESTINATION ${sluice_config_folder})

# pkg-config: a static library's users link what it needs, so there it is not private.
if(sluice_type STREQUAL "STATIC_LIBRARY")
  set(sluice_pc_requires "Requires: libhwy")
  list(TRANSFORM OpenMP_CXX_LIB_NAMES PREPEND "-l" OUTPUT_VARIABLE sluice_pc_libs)
  list(JOIN sluice_pc_libs " " sluice_pc_libs)
else()
  set(sluice_pc_requires "Requires.private: libhwy")
  set(sluice_pc_libs "")
endif()
# Found from where the file lies, so that an installed tree may be moved.
file(RELATIVE_PATH sluice_pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
cmake_path(APPEND sluice_pc_includedir "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
cmake_path(APPEND sluice_pc_libdir "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/sluice.pc.in ${PROJECT_BINARY_DIR}/sluice.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sluice.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
