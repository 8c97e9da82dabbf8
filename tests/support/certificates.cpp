#include "support/certificates.hpp"

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace weir::test {
namespace {

void openssl(std::string const& directory, std::string const& arguments) {
    auto const command = "cd " + directory + " && openssl " + arguments + " >openssl.log 2>&1";
    if (std::system(command.c_str()) != 0) {
        std::ifstream log(directory + "/openssl.log");
        throw std::runtime_error("openssl " + arguments + ": " + std::string(std::istreambuf_iterator<char>(log), {}));
    }
}

constexpr auto new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes ";

} // namespace

certificates::certificates() {
    auto const& here = directory_.path();
    for (auto const* name : {"ca", "other-ca"})
        openssl(here, std::string("req -x509 ") + new_key + "-days 2 -subj /CN=" + name + " -keyout " + name +
                          ".key -out " + name + ".pem");
    auto const sign = [&](std::string const& name, std::string const& extension, std::string const& times) {
        std::ofstream(here + "/" + name + ".ext") << extension << '\n';
        openssl(here, std::string("req ") + new_key + "-subj /CN=" + name + " -keyout " + name + ".key -out " + name +
                          ".csr");
        openssl(here, "x509 -req -in " + name + ".csr -CA ca.pem -CAkey ca.key -CAcreateserial " + times +
                          " -extfile " + name + ".ext -out " + name + ".pem");
    };
    sign("server", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days 2");
    sign("elsewhere", "subjectAltName=DNS:elsewhere.example", "-days 2");
    sign("expired", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days -1");
    sign("client", "extendedKeyUsage=clientAuth", "-days 2");
}

std::vector<std::string> certificates::arguments(std::uint16_t port, std::string const& name, bool client) const {
    return {"--tls-port",         std::to_string(port),
            "--tls-cert-file",    certificate(name),
            "--tls-key-file",     key(name),
            "--tls-ca-cert-file", ca(),
            "--tls-auth-clients", client ? "yes" : "no"};
}

} // namespace weir::test
