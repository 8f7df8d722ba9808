# What is installed, and where.

set(here "${CMAKE_CURRENT_LIST_DIR}")
set(share ${CMAKE_INSTALL_DATADIR}/bpf2graphite)

install(TARGETS bpf2graphite RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(DIRECTORY config/traces DESTINATION ${share})
install(FILES config/original.conf DESTINATION ${share})
# To be linked into bpf2graphite.service.d by those who want them.
install(FILES config/systemd/strict.conf config/systemd/no-btf.conf
  DESTINATION ${share}/systemd)
install(FILES config/bash-completion/bpf2graphite
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)

# These hold paths, which are those of the prefix that is installed to; cmake
# --install and cpack choose that later than the build. What stands in /etc
# belongs to the administrator: it is never overwritten.
install(CODE "set(config \"${here}\")\nset(made \"${PROJECT_BINARY_DIR}/made\")")
install(CODE [[
  function(place name folder new_name)
    if(folder MATCHES "^/etc" AND EXISTS "$ENV{DESTDIR}${folder}/${new_name}")
      message(STATUS "Kept: $ENV{DESTDIR}${folder}/${new_name}")
      return()
    endif()
    file(READ "${config}/${name}" text)
    string(REPLACE "/usr/sbin/" "${CMAKE_INSTALL_PREFIX}/sbin/" text "${text}")
    string(REPLACE "/usr/share/bpf2graphite"
      "${CMAKE_INSTALL_PREFIX}/share/bpf2graphite" text "${text}")
    string(REPLACE "= \"traces/"
      "= \"${CMAKE_INSTALL_PREFIX}/share/bpf2graphite/traces/" text "${text}")
    file(WRITE "${made}/${new_name}" "${text}")
    file(INSTALL DESTINATION "${folder}" TYPE FILE FILES "${made}/${new_name}")
  endfunction()
  place(bpf2graphite.service "${CMAKE_INSTALL_PREFIX}/lib/systemd/system"
    bpf2graphite.service)
  place(caf-application.conf /etc/bpf2graphite caf-application.conf)
  place(bpf2graphite.default /etc/default bpf2graphite)
]])

# ---- the manual pages -----------------------------------------------------------
find_program(SCDOC scdoc)
if(NOT SCDOC)
  message(STATUS "scdoc is missing: no manual pages, and no package")
  return()
endif()
set(man "${PROJECT_BINARY_DIR}/man")
file(MAKE_DIRECTORY "${man}")
# The keys are described once, in the configuration that shows them.
add_custom_command(OUTPUT "${man}/caf-application.conf.5.scd"
  COMMAND awk -f "${here}/man/keys.awk" "${here}/caf-application.conf"
    > "${man}/keys.scd"
  COMMAND sed -e "/^@KEYS@/{" -e "r ${man}/keys.scd" -e "d" -e "}"
    "${here}/man/caf-application.conf.5.scd" > "${man}/caf-application.conf.5.scd"
  DEPENDS "${here}/man/keys.awk" "${here}/caf-application.conf"
    "${here}/man/caf-application.conf.5.scd" VERBATIM)
add_custom_command(OUTPUT "${man}/bpf2graphite.8.scd"
  COMMAND ${CMAKE_COMMAND} -E copy "${here}/man/bpf2graphite.8.scd" "${man}"
  DEPENDS "${here}/man/bpf2graphite.8.scd")
foreach(page bpf2graphite.8 caf-application.conf.5)
  add_custom_command(OUTPUT "${man}/${page}.gz"
    COMMAND ${SCDOC} < "${man}/${page}.scd" > "${man}/${page}"
    COMMAND gzip -9nkf "${man}/${page}"
    DEPENDS "${man}/${page}.scd" VERBATIM)
  list(APPEND pages "${man}/${page}.gz")
  string(REGEX REPLACE ".*\\.([0-9])$" "\\1" section "${page}")
  install(FILES "${man}/${page}.gz"
    DESTINATION ${CMAKE_INSTALL_DATADIR}/man/man${section})
endforeach()
add_custom_target(manual_pages DEPENDS ${pages})
add_dependencies(bpf2graphite manual_pages)
