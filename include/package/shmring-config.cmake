# SPDX-License-Identifier: MIT
# find_package(shmring) gives shmring::shmring, wherever the tree is moved to.
get_filename_component(shmring_PREFIX "${CMAKE_CURRENT_LIST_FILE}" REALPATH)
get_filename_component(shmring_PREFIX "${shmring_PREFIX}/../../../.." ABSOLUTE)

if(NOT TARGET shmring::shmring)
  add_library(shmring::shmring INTERFACE IMPORTED)
  target_include_directories(shmring::shmring INTERFACE
    "${shmring_PREFIX}/include" "${shmring_PREFIX}/include/shmring")
  target_compile_definitions(shmring::shmring INTERFACE _DEFAULT_SOURCE)
  target_compile_features(shmring::shmring INTERFACE c_std_11 cxx_std_11)
endif()
unset(shmring_PREFIX)
