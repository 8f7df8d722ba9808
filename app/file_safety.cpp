#include "app/file_safety.hpp"

#include "app/config_text.hpp"

#include <algorithm>
#include <deque>
#include <string_view>

namespace bpf2graphite {

namespace {

constexpr std::uint32_t sticky = 01000;
constexpr std::uint32_t group_writes = 0020;
constexpr std::uint32_t others_write = 0002;

void push_front(std::deque<std::string>& parts, std::string_view path) {
  std::vector<std::string> fresh;
  for (std::size_t first = 0; first <= path.size();) {
    auto slash = std::min(path.find('/', first), path.size());
    if (slash > first)
      fresh.emplace_back(path.substr(first, slash - first));
    first = slash + 1;
  }
  parts.insert(parts.begin(), fresh.begin(), fresh.end());
}

/// As a shell takes it, so that the remedy can be pasted.
std::string shell_word(const std::string& path) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789/._-+,:@%=";
  if (path.find_first_not_of(plain) == std::string::npos)
    return path;
  std::string word = "'";
  for (char c : path)
    word += c == '\'' ? std::string{"'\\''"} : std::string{c};
  return shown(word + "'", 1000);
}

std::string named(std::uint32_t uid, file_system_view& system) {
  auto name = system.user_name(uid);
  return name.empty() ? "uid " + std::to_string(uid)
                      : shown(name) + " (uid " + std::to_string(uid) + ")";
}

/// A group that nobody but the owner is in, and that is named after him.
bool is_private_group(std::uint32_t gid, std::uint32_t owner,
                      file_system_view& system) {
  auto user = system.user_name(owner);
  auto group = system.group(gid);
  return !user.empty() && group.name == user
         && std::all_of(group.members.begin(), group.members.end(),
                        [&](const auto& member) { return member == user; });
}

void judge(const std::string& path, const file_facts& facts, bool folder,
           const trusted_users& trusted, file_system_view& system,
           file_verdict& verdict) {
  auto what = std::string{folder ? "the folder " : ""} + shown(path, 1000);
  auto word = shell_word(path);
  if (!trusted.contains(facts.owner))
    verdict.reasons.push_back(what + " belongs to " + named(facts.owner, system)
                              + ", who is not trusted; run: chown root "
                              + word);
  if (folder && (facts.mode & sticky) != 0)
    return;
  if ((facts.mode & others_write) != 0)
    verdict.reasons.push_back(
      what + " can be written by everybody; run: chmod o-w " + word);
  if ((facts.mode & group_writes) != 0 && facts.group != 0
      && !is_private_group(facts.group, facts.owner, system)) {
    auto group = system.group(facts.group);
    verdict.reasons.push_back(what + " can be written by the group "
                              + (group.name.empty()
                                   ? "gid " + std::to_string(facts.group)
                                   : shown(group.name))
                              + "; run: chmod g-w " + word);
  }
}

file_verdict failed(file_fault fault, std::string reason) {
  file_verdict verdict;
  verdict.fault = fault;
  verdict.reasons.push_back(std::move(reason));
  return verdict;
}

} // namespace

file_verdict judge_file(const std::string& path, const trusted_users& trusted,
                        file_system_view& system, std::size_t bytes_max) {
  file_verdict verdict;
  auto name = shown(path, 1000);
  if (!path.starts_with('/') || path.find('\0') != std::string::npos)
    return failed(file_fault::failed,
                  name + " is not an absolute path; write one");
  std::deque<std::string> todo;
  push_front(todo, path);
  std::vector<std::string> walked; // the real path so far
  std::set<std::string> judged;    // a link may lead through a folder again
  std::size_t links = 0;
  auto joined = [&](const std::string* last) {
    std::string result;
    for (const auto& part : walked)
      result += '/' + part;
    if (last != nullptr)
      result += '/' + *last;
    return result.empty() ? std::string{"/"} : result;
  };
  auto judge_folder = [&](const std::string& folder, const file_facts& facts) {
    if (judged.insert(folder).second)
      judge(folder, facts, true, trusted, system, verdict);
  };
  judge_folder("/", system.facts("/"));
  if (todo.empty())
    return failed(file_fault::not_regular, "/ is a folder; name a file");
  while (!todo.empty()) {
    auto part = todo.front();
    todo.pop_front();
    if (part == "." || part == "..") {
      if (part == ".." && !walked.empty())
        walked.pop_back();
      if (todo.empty())
        return failed(file_fault::not_regular,
                      name + " is a folder; name a file");
      continue;
    }
    auto here = joined(&part);
    auto facts = system.facts(here);
    switch (facts.kind) {
      case file_kind::missing:
        return failed(file_fault::missing,
                      "no such file " + name
                        + (shown(here, 1000) == name
                             ? std::string{}
                             : " (" + shown(here, 1000) + " does not exist)"));
      case file_kind::denied:
        return failed(file_fault::denied,
                      shown(here, 1000)
                        + " cannot be looked at; let this user in, or run as "
                          "root");
      case file_kind::link:
        if (++links > links_max)
          return failed(file_fault::failed, name + " leads through more than "
                                              + std::to_string(links_max)
                                              + " links; name the file itself");
        if (facts.target.starts_with('/'))
          walked.clear();
        push_front(todo, facts.target);
        if (todo.empty())
          return failed(file_fault::not_regular,
                        name + " leads to a folder; name a file");
        break;
      case file_kind::folder:
        judge_folder(here, facts);
        walked.push_back(part);
        if (todo.empty())
          return failed(file_fault::not_regular,
                        name + " is a folder; name a file");
        break;
      case file_kind::regular:
        if (!todo.empty())
          return failed(file_fault::missing, "no such file " + name + " ("
                                               + shown(here, 1000)
                                               + " is not a folder)");
        judge(here, facts, false, trusted, system, verdict);
        verdict.real_path = here;
        if (!verdict.reasons.empty()) {
          verdict.fault = file_fault::unsafe;
        } else if (facts.bytes > bytes_max) {
          verdict.fault = file_fault::too_large;
          verdict.reasons.push_back(
            name + " has " + std::to_string(facts.bytes) + " bytes; at most "
            + std::to_string(bytes_max) + " are read: split it");
        }
        return verdict;
      case file_kind::other:
        return failed(file_fault::not_regular,
                      name + " is not a regular file; name one");
    }
  }
  return failed(file_fault::not_regular, name + " is a folder; name a file");
}

std::string to_text(const file_verdict& verdict) {
  std::string text;
  for (const auto& reason : verdict.reasons)
    text += (text.empty() ? "" : ", and ") + reason;
  return text;
}

} // namespace bpf2graphite
