#pragma once

#include "support/redis_server.hpp"

#include <string>
#include <vector>

namespace weir::test {

/// An authority of the test's own and certificates by it, as PEM files that are gone when the object is.
class certificates {
public:
    certificates();

    std::string ca() const { return directory_.path() + "/ca.pem"; }
    /// Of nobody's: what it signs, nothing here trusts.
    std::string other_ca() const { return directory_.path() + "/other-ca.pem"; }
    /// NAME.pem and NAME.key: "server" for localhost and 127.0.0.1, "elsewhere" for another name, "expired", "client".
    std::string certificate(std::string const& name) const { return directory_.path() + '/' + name + ".pem"; }
    std::string key(std::string const& name) const { return directory_.path() + '/' + name + ".key"; }

    /// The arguments by which a redis-server speaks TLS on `port` as `name`; clients must show a certificate where
    /// `client` says so.
    std::vector<std::string> arguments(std::uint16_t port, std::string const& name = "server",
                                       bool client = false) const;

private:
    temporary_directory directory_;
};

} // namespace weir::test
