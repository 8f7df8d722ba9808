# A Debian package:
#
#   app/build release --target bpf2graphite -- -DCMAKE_BUILD_TYPE=Release
#   (cd build/release && cpack)
#
# It holds what is installed (config/install.cmake) under /usr, and what is
# Debian's own: changelog, copyright, scripts for dpkg.

set(BPF2GRAPHITE_MAINTAINER
  "The bpf2graphite maintainers <maintainers@bpf2graphite.invalid>"
  CACHE STRING "Maintainer of the package: Name <mail address>")
if(NOT SCDOC)
  return()
endif()

set(debian "${CMAKE_CURRENT_LIST_DIR}")
set(tree "${PROJECT_BINARY_DIR}/debian/tree")
file(REMOVE_RECURSE "${tree}")
file(MAKE_DIRECTORY "${tree}/usr/share/doc/bpf2graphite")
configure_file("${debian}/changelog.in"
  "${tree}/usr/share/doc/bpf2graphite/changelog" @ONLY)
execute_process(COMMAND gzip -9nf changelog COMMAND_ERROR_IS_FATAL ANY
  WORKING_DIRECTORY "${tree}/usr/share/doc/bpf2graphite")
configure_file("${debian}/copyright"
  "${tree}/usr/share/doc/bpf2graphite/copyright" COPYONLY)

set(CPACK_GENERATOR DEB)
# /etc is no part of the prefix: a root of its own, installed to as /usr.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_INSTALLED_DIRECTORIES "${tree}" /)
set(CPACK_STRIP_FILES ON)
# What is packed has been built before.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE
  OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  ${CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS})

set(CPACK_PACKAGE_CONTACT "${BPF2GRAPHITE_MAINTAINER}")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Runs bpftrace scripts, reads the histograms and other maps that they print,
adds them up in slots of fixed length and sends them to Graphite, every 15
seconds. Goes on when bpftrace, Graphite or one of its own parts fails, and
counts whatever could not be sent.
.
A trace is a script of your own or one of those that come with it, for run
queue latency, block devices, page faults, TCP and system calls.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "bpftrace (>= 0.9)")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "graphite-carbon | carbon-c-relay")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${debian}/conffiles"
  "${debian}/postinst" "${debian}/prerm" "${debian}/postrm")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
